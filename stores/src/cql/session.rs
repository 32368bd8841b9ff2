use super::attempts::Attempts;
use super::statements::TableStatements;
use super::{CqlSettings, unavailable};
#[cfg(feature = "tls")]
use crate::packed::STATE_STORE;
use crate::{StoreError, Table};
use ::scylla::client::execution_profile::ExecutionProfile;
use ::scylla::client::session::Session;
use ::scylla::client::session_builder::SessionBuilder;
use ::scylla::client::{Compression, PoolSize};
use ::scylla::policies::load_balancing::DefaultPolicy;
use ::scylla::statement::Consistency;
use std::num::NonZeroUsize;
use tokio::sync::OnceCell;

/// Connections to each node: one carries thousands of statements, the second spreads the work over cores.
const CONNECTIONS_PER_NODE: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// The session and the prepared statements, each made when first needed; a failure is not kept.
#[derive(Default)]
pub(super) struct Sessions {
    session: OnceCell<Session>,
    /// In the order of [`Table::ALL`]. One by one: who reads only some tables works beside a database that lacks others, as
    /// one does that is to be migrated by a service that is updated later.
    statements: [OnceCell<TableStatements>; Table::ALL.len()],
}

impl Sessions {
    /// The session, whether or not there are tables yet.
    pub(super) async fn session(&self, settings: &CqlSettings) -> Result<&Session, StoreError> {
        let connected = self.session.get_or_try_init(|| async {
            builder(settings)?.build().await.map_err(|error| unavailable("connect", &error))
        });
        Attempts::within(settings.timeout()).once("connect", connected).await
    }

    /// The session and the statements on a table.
    pub(super) async fn ready(
        &self,
        settings: &CqlSettings,
        table: Table,
    ) -> Result<(&Session, &TableStatements), StoreError> {
        let session = self.session(settings).await?;
        let index = Table::ALL.iter().position(|other| *other == table);
        let statements = &self.statements[index.expect("every table is in Table::ALL")];
        let prepared =
            statements.get_or_try_init(|| TableStatements::prepare(session, &settings.keyspace, table));
        Ok((session, Attempts::within(settings.timeout()).once("prepare", prepared).await?))
    }
}

fn builder(settings: &CqlSettings) -> Result<SessionBuilder, StoreError> {
    let mut nodes = DefaultPolicy::builder();
    if let Some(datacenter) = &settings.local_datacenter {
        nodes = nodes.prefer_datacenter(datacenter.clone());
    }
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .request_timeout(Some(settings.timeout()))
        .load_balancing_policy(nodes.build())
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&settings.contact_points)
        .default_execution_profile_handle(profile.into_handle())
        .keyspaces_to_fetch([&settings.keyspace])
        .compression(Some(Compression::Lz4))
        .pool_size(PoolSize::PerHost(CONNECTIONS_PER_NODE))
        .connection_timeout(settings.timeout());
    if let Some(username) = &settings.username {
        builder = builder.user(username, settings.password.as_deref().unwrap_or_default());
    }
    #[cfg(feature = "tls")]
    if settings.tls {
        builder = builder.tls_context(Some(crate::tls::client(STATE_STORE, settings.ca_file.as_deref())?));
    }
    Ok(builder)
}
