use std::path::PathBuf;

/// Why a configuration was refused; always names the key or the file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is absent, unreadable or not TOML.
    #[error("cannot read the configuration file {file}: {reason}")]
    File {
        /// The file as given.
        file: PathBuf,
        /// What the reader said, with line and column for a syntax error.
        reason: String,
    },
    /// A key nobody knows, or a value of the wrong type.
    #[error("`{key}` in {origin}: {reason}")]
    Key {
        /// Full dotted path.
        key: String,
        /// The file, or the environment variable.
        origin: String,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// A value of the right type outside its range.
    #[error("`{key}` is {value}: allowed is {allowed}")]
    Invalid {
        /// Full dotted path.
        key: String,
        /// The refused value (masked when secret).
        value: String,
        /// What is allowed instead.
        allowed: String,
    },
}

impl ConfigError {
    /// Fails with [`ConfigError::Invalid`] for `section.field` unless `holds`; for the `validate` functions of sections.
    pub fn require(
        holds: bool,
        section: &str,
        field: &str,
        value: impl std::fmt::Debug,
        allowed: &str,
    ) -> Result<(), ConfigError> {
        if holds {
            return Ok(());
        }
        let key = if section.is_empty() { field.to_owned() } else { format!("{section}.{field}") };
        Err(ConfigError::Invalid { key, value: format!("{value:?}"), allowed: allowed.to_owned() })
    }
}
