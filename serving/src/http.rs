//! The HTTP side: parameters in, JSON or a problem out.

pub(crate) mod params;
mod routes;

pub(crate) use routes::routes;

use crate::live::Live;
use axum::extract::FromRef;
use service_runtime::keys::Keys;
use std::sync::Arc;

/// What handlers work with.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) live: Arc<Live>,
    pub(crate) keys: Keys,
}

impl FromRef<App> for Keys {
    fn from_ref(app: &App) -> Self {
        app.keys.clone()
    }
}
