//! API keys: who may call what.
//!
//! Only hashes are kept (BLAKE3, hex: `printf %s KEY | b3sum --no-names`), so a leaked configuration gives no access.
//! Keys are meant to be random, 128 bits or more; a fast hash is enough then. They are compared in constant time, and
//! all of them every time, so that an answer's time tells nothing.
//!
//! With no keys configured a service is open to everyone who reaches it; [`Keys::check_listen`] keeps such a service on
//! loopback.

mod extract;
mod file;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

pub use self::extract::{Admin, Authorized, Read, RequiredScope, Write};
use crate::config::ConfigError;

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Send events. Safe to put into a web page.
    Write,
    /// Ask for recommendations and histories.
    Read,
    /// Everything: also imports, the catalog and forgetting users.
    Admin,
}

impl Scope {
    /// The name in configurations and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

/// One key as it stands in a configuration or keys file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// Who holds it; shown in logs, and the name under which its rate is limited. Not empty, one of its kind.
    pub name: String,
    /// BLAKE3 hash of the key, 64 hexadecimal digits; see [`hash_of`].
    pub hash: String,
    /// What it allows; at least one.
    pub scopes: Vec<Scope>,
}

/// The hash under which a key is configured.
pub fn hash_of(key: &str) -> String {
    blake3::hash(key.as_bytes()).to_hex().to_string()
}

/// The keys in force. Clones share them, also after a reload.
#[derive(Clone, Default)]
pub struct Keys {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    configured: Vec<KeyConfig>,
    file: Option<PathBuf>,
    current: RwLock<Arc<[Key]>>,
}

struct Key {
    name: Arc<str>,
    hash: [u8; blake3::OUT_LEN],
    scopes: Box<[Scope]>,
}

/// Who calls, once it is known that they may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    name: Option<Arc<str>>,
    admin: bool,
}

impl Caller {
    /// The key's name; `None` where no keys are configured.
    pub fn name(&self) -> Option<&Arc<str>> {
        self.name.as_ref()
    }

    /// Whether it may do everything.
    pub fn is_admin(&self) -> bool {
        self.admin
    }
}

/// Why a caller was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No key was given.
    Missing,
    /// The key is not known.
    Unknown,
    /// The key does not have this scope.
    Forbidden(Scope),
}

impl Keys {
    /// No keys: everyone may do everything.
    pub fn open() -> Self {
        Self::default()
    }

    /// The `configured` keys and those of `file`, a TOML file of `[[keys]]` tables. `section` is the dotted path of the
    /// configuration section, for messages.
    ///
    /// # Errors
    /// A key that is not well-formed, two of the same name, or a file that cannot be read.
    pub fn load(
        configured: Vec<KeyConfig>,
        file: Option<PathBuf>,
        section: &str,
    ) -> Result<Self, ConfigError> {
        let current = file::read_all(&configured, file.as_deref(), section)?;
        Ok(Self { shared: Arc::new(Shared { configured, file, current: RwLock::new(current) }) })
    }

    /// Whether no keys are configured.
    pub fn is_open(&self) -> bool {
        self.current().is_empty()
    }

    /// Who the holder of `presented` is, if that key has `scope`. Where no keys are configured, everyone is admin.
    ///
    /// # Errors
    /// [`Denied`], with the reason.
    pub fn authorize(&self, presented: Option<&str>, scope: Scope) -> Result<Caller, Denied> {
        self.authorize_by(|| presented, scope)
    }

    /// [`Self::authorize`], which asks for the key only where there are any.
    fn authorize_by<'k>(
        &self,
        presented: impl FnOnce() -> Option<&'k str>,
        scope: Scope,
    ) -> Result<Caller, Denied> {
        let keys = self.current();
        if keys.is_empty() {
            return Ok(Caller { name: None, admin: true });
        }
        let hash = blake3::hash(presented().ok_or(Denied::Missing)?.as_bytes());
        let mut found = None;
        for key in keys.iter() {
            // Not `find`: stopping at the first match would tell where in the list a key stands.
            if bool::from(key.hash.ct_eq(hash.as_bytes())) {
                found = Some(key);
            }
        }
        let key = found.ok_or(Denied::Unknown)?;
        let admin = key.scopes.contains(&Scope::Admin);
        if admin || key.scopes.contains(&scope) {
            Ok(Caller { name: Some(key.name.clone()), admin })
        } else {
            Err(Denied::Forbidden(scope))
        }
    }

    /// Refuses to listen beyond loopback without keys, unless `insecure` says that this is wanted. `key` is the dotted path
    /// of the address, for messages.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] for `key`.
    pub fn check_listen(&self, listen: SocketAddr, insecure: bool, key: &str) -> Result<(), ConfigError> {
        if insecure || listen.ip().is_loopback() || !self.is_open() {
            return Ok(());
        }
        let allowed = "a loopback address while no keys are configured, unless told --insecure".to_owned();
        Err(ConfigError::Invalid { key: key.to_owned(), value: listen.to_string(), allowed })
    }

    fn current(&self) -> Arc<[Key]> {
        self.shared.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.current();
        f.debug_list().entries(keys.iter().map(|key| &key.name)).finish()
    }
}

#[cfg(test)]
mod tests;
