use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Secret};

/// Where Kafka is and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// Bootstrap brokers as `host:port`; at least one.
    pub brokers: Vec<String>,
    /// Put before every topic name and group, so that several installations share a cluster. Letters, digits, `.`, `_`
    /// and `-`, at most 100.
    pub topic_prefix: String,
    /// Name shown in the broker's logs and quotas; not empty.
    pub client_id: String,
    /// `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.
    pub security_protocol: SecurityProtocol,
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`; used with the `sasl_` protocols only.
    pub sasl_mechanism: SaslMechanism,
    /// Required with the `sasl_` protocols.
    pub sasl_username: String,
    /// Required with the `sasl_` protocols; best given by the environment.
    pub sasl_password: Secret,
    /// PEM file of the authority that signed the brokers' certificates; the system's when absent.
    pub ssl_ca_file: Option<PathBuf>,
    /// Further librdkafka properties, passed through as they are. Those that the promises depend on cannot be changed
    /// here: the adapter sets them last.
    pub extra: BTreeMap<String, String>,
}

/// How the connection to a broker is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecurityProtocol {
    /// Open.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// Password, without TLS.
    SaslPlaintext,
    /// Password within TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// The name that librdkafka knows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    /// Whether a username and password are needed.
    pub fn uses_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// How a password is proven to the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SaslMechanism {
    /// Sent as it is; only sensible within TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Challenge and response over SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Challenge and response over SHA-512.
    #[default]
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl SaslMechanism {
    /// The name that librdkafka knows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            brokers: vec!["127.0.0.1:9092".to_owned()],
            topic_prefix: String::new(),
            client_id: "shopsmart".to_owned(),
            security_protocol: SecurityProtocol::default(),
            sasl_mechanism: SaslMechanism::default(),
            sasl_username: String::new(),
            sasl_password: Secret::default(),
            ssl_ca_file: None,
            extra: BTreeMap::new(),
        }
    }
}

impl KafkaConfig {
    /// Checks what can be checked without a broker; `section` is the dotted path of this section.
    pub fn validate(&self, section: &str) -> Result<(), ConfigError> {
        let require = |holds, field, value: &dyn std::fmt::Debug, allowed| {
            ConfigError::require(holds, section, field, value, allowed)
        };
        super::addresses(&self.brokers, section, "brokers")?;
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let prefix = &self.topic_prefix;
        let legal = prefix.len() <= 100 && prefix.chars().all(legal);
        require(legal, "topic_prefix", prefix, "up to 100 of a-z A-Z 0-9 . _ -")?;
        require(!self.client_id.is_empty(), "client_id", &self.client_id, "a name")?;
        if self.security_protocol.uses_sasl() {
            let allowed = "a value, since security_protocol asks for SASL";
            require(!self.sasl_username.is_empty(), "sasl_username", &self.sasl_username, allowed)?;
            require(!self.sasl_password.is_empty(), "sasl_password", &"empty", allowed)?;
        }
        Ok(())
    }
}
