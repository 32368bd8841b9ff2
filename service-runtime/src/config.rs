//! Configuration: defaults, then one TOML file, then the environment, each overriding the one before.
//!
//! One file may serve all three services. Each service reads the sections it has fields for, ignores the other
//! [`SECTIONS`], and refuses everything else, so a typing error never passes as a default.
//!
//! Environment variables are `PREFIX__SECTION__KEY`, for example `SHOPSMART__KAFKA__BROKERS=a:9092,b:9092`; lists are
//! separated by commas. Keys that hold a dot (librdkafka's, in `kafka.extra`) can only be given in the file.

mod error;
mod load;
mod secret;
mod sections;

pub use error::ConfigError;
pub use load::load;
pub use secret::Secret;
pub use sections::{
    CqlConfig, HttpConfig, KafkaConfig, LogConfig, LogFormat, RedisConfig, SaslMechanism, SecurityProtocol,
    TracesConfig,
};

/// Every top-level section that a shared configuration file may hold.
pub const SECTIONS: [&str; 8] = ["log", "traces", "kafka", "redis", "cql", "ingest", "processor", "serving"];
