//! Reading keys, and reading them again when their file changes.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use ::config::{Config, File, FileFormat};
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Key, KeyConfig, Keys};
use crate::config::ConfigError;

/// How often the file is looked at. Rotating a key is planned work; nobody waits for the second.
const POLL: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysFile {
    #[serde(default)]
    keys: Vec<KeyConfig>,
}

impl Keys {
    /// Reads the keys file again. A file that is broken or would leave no keys at all changes nothing: a slip of an
    /// editor must neither lock everyone out nor let everyone in.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn reload(&self) -> Result<(), ConfigError> {
        let file = self.shared.file.as_deref();
        let keys = read_all(&self.shared.configured, file, "keys")?;
        ConfigError::require(self.is_open() || !keys.is_empty(), "keys", "file", file, "a file with keys")?;
        *self.shared.current.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// Reloads on SIGHUP and when the file changes, until `stop`.
    ///
    /// # Errors
    /// When no handler for SIGHUP can be set.
    pub async fn watch(self, stop: CancellationToken) -> std::io::Result<()> {
        let Some(file) = self.shared.file.clone() else {
            stop.cancelled().await;
            return Ok(());
        };
        let mut hangup = signal(SignalKind::hangup())?;
        let mut seen = modified(&file);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = hangup.recv() => {}
                () = tokio::time::sleep(POLL) => {
                    if modified(&file) == seen {
                        continue;
                    }
                }
            }
            seen = modified(&file);
            match self.reload() {
                Ok(()) => tracing::info!(file = %file.display(), keys = ?self, "keys reloaded"),
                Err(error) => tracing::error!(%error, "keys not reloaded; those before stay in force"),
            }
        }
    }
}

/// Of a file that is there. Secrets mounted by Kubernetes are replaced by a symbolic link: its target's time counts.
fn modified(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|meta| meta.modified()).ok()
}

pub(super) fn read_all(
    configured: &[KeyConfig],
    file: Option<&Path>,
    section: &str,
) -> Result<Arc<[Key]>, ConfigError> {
    let from_file = file.map(|file| read(file, section)).transpose()?.unwrap_or_default();
    let mut names = HashSet::new();
    configured
        .iter()
        .chain(&from_file)
        .map(|key| {
            let (name, fresh) = (&key.name, names.insert(key.name.as_str()));
            ConfigError::require(fresh && !name.is_empty(), section, "keys.name", name, "a name of its own")?;
            let scopes = !key.scopes.is_empty();
            ConfigError::require(scopes, section, "keys.scopes", name, "write, read or admin, at least one")?;
            let hash = blake3::Hash::from_hex(&key.hash).map_err(|_| ConfigError::Invalid {
                key: format!("{section}.keys.hash"),
                // Perhaps the key itself was put here: not to be shown.
                value: format!("not a hash, for {name:?}"),
                allowed: "the 64 hexadecimal digits of the key's BLAKE3 hash".to_owned(),
            })?;
            let scopes = key.scopes.clone().into_boxed_slice();
            Ok(Key { name: name.as_str().into(), hash: *hash.as_bytes(), scopes })
        })
        .collect()
}

fn read(file: &Path, section: &str) -> Result<Vec<KeyConfig>, ConfigError> {
    Config::builder()
        .add_source(File::from(file).format(FileFormat::Toml))
        .build()
        .and_then(Config::try_deserialize::<KeysFile>)
        .map(|content| content.keys)
        .map_err(|error| ConfigError::Invalid {
            key: format!("{section}.keys_file"),
            value: file.display().to_string(),
            allowed: format!("a file with [[keys]] ({error})"),
        })
}
