use std::collections::BTreeMap;
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

/// An environment variable that overrides a key.
struct Override {
    variable: String,
    value: String,
}

/// Dotted key to override.
type Overrides = BTreeMap<String, Override>;

fn overrides(environment: impl Iterator<Item = (String, String)>, prefix: &str) -> Overrides {
    let start = format!("{prefix}__");
    environment
        .filter_map(|(variable, value)| {
            let key = variable.strip_prefix(&start)?.to_lowercase().replace("__", ".");
            Some((key, Override { variable, value }))
        })
        .collect()
}

fn load_from<T>(file: Option<&Path>, overrides: Overrides, defaults: &T) -> Result<T, ConfigError>
where
    T: Serialize + DeserializeOwned,
{
    let origin_of = |key: &str| match (overrides.get(key), file) {
        (Some(o), _) => format!("the environment variable {}", o.variable),
        (None, Some(file)) => file.display().to_string(),
        (None, None) => "the defaults".to_owned(),
    };
    let refused =
        |key: &str, reason: String| ConfigError::Key { key: key.to_owned(), origin: origin_of(key), reason };

    let shape = serde_json::to_value(defaults).map_err(|e| refused("", e.to_string()))?;
    let mut builder = Config::builder();
    if let Some(file) = file {
        builder = builder.add_source(File::from(file).format(FileFormat::Toml));
    }
    for (key, o) in &overrides {
        builder = builder
            .set_override(key, override_value(&shape, key, &o.value))
            .map_err(|e| refused(key, e.to_string()))?;
    }
    let given: Map<String, Value> =
        builder.build().and_then(|given| given.cache.into_table()).map_err(|e| ConfigError::File {
            file: file.unwrap_or(Path::new("")).into(),
            reason: e.to_string(),
        })?;

    let mine: Vec<&str> = shape.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    let mut own = Map::new();
    for (key, value) in given {
        if mine.contains(&key.as_str()) {
            own.insert(key, value);
        } else if !SECTIONS.contains(&key.as_str()) {
            let allowed: Vec<&str> =
                SECTIONS.into_iter().chain(mine.iter().copied().filter(|m| !SECTIONS.contains(m))).collect();
            let inner = overrides.keys().find(|k| k.split('.').next() == Some(&key)).unwrap_or(&key);
            return Err(refused(inner, format!("unknown section, allowed are {}", allowed.join(", "))));
        }
    }

    let defaults: Map<String, Value> =
        serde_json::from_value(shape).map_err(|e| refused("", e.to_string()))?;
    let merged = Config::builder().add_source(Layer(defaults)).add_source(Layer(own)).build();
    let merged = merged.map_err(|e| refused("", e.to_string()))?.cache;
    serde_path_to_error::deserialize(merged).map_err(|e| {
        let key = e.path().to_string();
        refused(&key, reason(e.into_inner()))
    })
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
