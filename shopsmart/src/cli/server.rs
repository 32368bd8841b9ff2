use anyhow::Result;
use clap::Args;

use crate::client::Client;

/// Which running server to ask.
#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    /// The server: `shopsmart dev`, or a copy of the stream processor (by default on port 8082)
    #[arg(long, value_name = "URL", env = "SHOPSMART_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Key, where the server has keys
    #[arg(long, value_name = "K", env = "SHOPSMART_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
}

impl ServerArgs {
    pub(super) fn client(self) -> Result<Client> {
        Ok(Client::new(&self.url, self.api_key)?)
    }
}
