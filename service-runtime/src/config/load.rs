use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ::config::{Config, ConfigError as Refusal, File, FileFormat, Map, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::{ConfigError, SECTIONS};

/// Reads the configuration `T`: `defaults`, then `file`, then environment variables that start with `env_prefix` and
/// two underscores. `T` and its sections should be `#[serde(default, deny_unknown_fields)]`.
///
/// Values are only checked for their type; call the sections' `validate` afterwards.
///
/// # Errors
/// An unreadable file, an unknown key, or a value of the wrong type; each named with its origin and what is allowed.
pub fn load<T>(file: Option<&Path>, env_prefix: &str, defaults: &T) -> Result<T, ConfigError>
where
    T: Serialize + DeserializeOwned,
{
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    load_from(file, overrides(environment, env_prefix), defaults)
}

/// Dotted key to the environment variable that overrides it: its name and value.
type Overrides = BTreeMap<String, (String, String)>;

fn overrides(environment: impl Iterator<Item = (String, String)>, prefix: &str) -> Overrides {
    let start = format!("{prefix}__");
    environment
        .filter_map(|(variable, value)| {
            let key = variable.strip_prefix(&start)?.to_lowercase().replace("__", ".");
            Some((key, (variable, value)))
        })
        .collect()
}

fn load_from<T>(file: Option<&Path>, overrides: Overrides, defaults: &T) -> Result<T, ConfigError>
where
    T: Serialize + DeserializeOwned,
{
    let given = Given { file, overrides };
    let shape = serde_json::to_value(defaults).map_err(|e| given.refused("", e.to_string()))?;
    let own = given.own_sections(given.read(&shape)?, &shape)?;
    let base = serde_json::from_value(shape.clone()).map_err(|e| given.refused("", e.to_string()))?;
    let merged = Config::builder().add_source(Layer(base)).add_source(Layer(own)).build();
    let merged = merged.map_err(|e| given.refused("", e.to_string()))?.cache;
    serde_path_to_error::deserialize(merged.clone()).map_err(|e| {
        let key = e.path().to_string();
        let reason = variants::<T>(shape, &key, merged).unwrap_or_else(|| reason(e.into_inner()));
        given.refused(&key, reason)
    })
}

/// What the user gave, to tell the origin of a key.
struct Given<'a> {
    file: Option<&'a Path>,
    overrides: Overrides,
}

impl Given<'_> {
    fn refused(&self, key: &str, reason: String) -> ConfigError {
        let origin = match (self.overrides.get(key), self.file) {
            (Some((variable, _)), _) => format!("the environment variable {variable}"),
            (None, Some(file)) => file.display().to_string(),
            (None, None) => "the defaults".to_owned(),
        };
        ConfigError::Key { key: key.to_owned(), origin, reason }
    }

    /// The file with the environment on top; `shape` is the defaults, which tell what is a list.
    fn read(&self, shape: &Json) -> Result<Map<String, Value>, ConfigError> {
        let mut builder = Config::builder();
        if let Some(file) = self.file {
            builder = builder.add_source(File::from(file).format(FileFormat::Toml));
        }
        for (key, (_, value)) in &self.overrides {
            builder = builder
                .set_override(key, override_value(shape, key, value))
                .map_err(|e| self.refused(key, e.to_string()))?;
        }
        builder.build().and_then(|given| given.cache.into_table()).map_err(|e| ConfigError::File {
            file: self.file.unwrap_or(Path::new("")).to_owned(),
            reason: e.to_string(),
        })
    }

    /// Without the sections of other services; fails for one that nobody knows.
    fn own_sections(
        &self,
        mut given: Map<String, Value>,
        shape: &Json,
    ) -> Result<Map<String, Value>, ConfigError> {
        let is_own = |key: &str| shape.get(key).is_some();
        if let Some(unknown) = given.keys().find(|key| !is_own(key) && !SECTIONS.contains(&key.as_str())) {
            let own = shape.as_object().into_iter().flat_map(|shape| shape.keys().map(String::as_str));
            let allowed: BTreeSet<&str> = SECTIONS.into_iter().chain(own).collect();
            let allowed = allowed.into_iter().collect::<Vec<_>>().join(", ");
            // The whole key where it came from the environment, so that the variable can be named.
            let key = self.overrides.keys().find(|k| k.split('.').next() == Some(unknown)).unwrap_or(unknown);
            return Err(self.refused(key, format!("unknown section, allowed are {allowed}")));
        }
        given.retain(|key, _| is_own(key));
        Ok(given)
    }
}

/// The override as the type the default has: environment variables know only strings, and the numbers and booleans
/// among them are parsed by `config` as the field asks for them.
fn override_value(shape: &Json, key: &str, value: &str) -> Value {
    let default = key.split('.').try_fold(shape, |at, part| at.get(part));
    if default.is_some_and(Json::is_array) {
        let items: Vec<Value> =
            value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect();
        return Value::from(items);
    }
    Value::from(value)
}

/// What is wrong, without the key and origin that the caller adds in full.
fn reason(refusal: Refusal) -> String {
    match refusal {
        Refusal::At { error, .. } => reason(*error),
        Refusal::Type { unexpected, expected, .. } => format!("found {unexpected}, expected {expected}"),
        other => other.to_string(),
    }
}

/// What serde says of an unknown enum variant, with the known ones: `config` leaves them out. Found by putting the
/// refused word alone into the defaults.
fn variants<T: DeserializeOwned>(mut defaults: Json, key: &str, merged: Value) -> Option<String> {
    let word = key.split('.').try_fold(merged, |at, part| at.into_table().ok()?.remove(part))?;
    *defaults.pointer_mut(&format!("/{}", key.replace('.', "/")))? = Json::String(word.into_string().ok()?);
    let said = serde_json::from_value::<T>(defaults).err()?.to_string();
    said.starts_with("unknown variant").then_some(said)
}

/// An already parsed table as one layer of the merge.
#[derive(Clone, Debug)]
struct Layer(Map<String, Value>);

impl ::config::Source for Layer {
    fn clone_into_box(&self) -> Box<dyn ::config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, Refusal> {
        Ok(self.0.clone())
    }
}

#[cfg(test)]
mod tests;
