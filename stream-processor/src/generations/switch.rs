//! Which generation is live, changed in one step.

use super::{GenerationError, Generations, Overview};
use schemas::names::{NO_GENERATION, live_key};
use schemas::published::LiveGeneration;
use stores::{Row, StoreError, Table};

/// What a change of the live generation has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switched {
    /// The one that was live.
    pub from: u16,
    /// The one that is live now.
    pub to: u16,
    /// What was passed over because the caller insisted.
    pub forced: Option<String>,
    /// Why the serving store was not told; serving learns it from the state store then.
    pub untold: Option<StoreError>,
}

impl Generations {
    /// Makes a generation live; one that is live already stays so.
    ///
    /// # Errors
    /// When it does not exist; unless `force`, when it is not complete or behind the live one; or when log or stores do not
    /// answer.
    pub async fn promote(&self, generation: u16, force: bool) -> Result<Switched, GenerationError> {
        let live = self.live().await?;
        if live.generation == generation {
            return Ok(Switched { from: generation, to: generation, forced: None, untold: None });
        }
        let overview = self.overview().await?;
        let lacks = overview.check_ready(generation).err();
        self.switch(live, &overview, generation, lacks, force).await
    }

    /// Makes the generation live that was live before.
    ///
    /// # Errors
    /// When there is none; unless `force`, when it is not complete; or when log or stores do not answer.
    pub async fn rollback(&self, force: bool) -> Result<Switched, GenerationError> {
        let Some(live) = self.record().await? else {
            let refusal = "no generation was promoted yet, so there is none to return to";
            return Err(GenerationError::Refused(refusal.to_owned()));
        };
        let overview = self.overview().await?;
        let lacks = overview.of(live.previous).and_then(|report| report.check_complete().err());
        self.switch(live, &overview, live.previous, lacks, force).await
    }

    async fn switch(
        &self,
        live: LiveGeneration,
        overview: &Overview,
        to: u16,
        lacks: Option<String>,
        force: bool,
    ) -> Result<Switched, GenerationError> {
        // Serving would not follow to one of which there is nothing.
        if overview.of(to).is_none() {
            return Err(GenerationError::Refused(format!(
                "there is no generation {to}: `shopsmart generations` lists them"
            )));
        }
        if let Some(lacks) = lacks.as_ref().filter(|_| !force) {
            return Err(GenerationError::Refused(format!("{lacks} (--force does it all the same)")));
        }
        let next = live.followed_by(to);
        let value = next.encode();
        let key = live_key(&self.topic_prefix);
        let row = Row { key: key.clone(), version: next.version, state: value.clone().into() };
        // First where nothing is lost: what the serving store says is a copy.
        self.parts.state.put_many(Table::Published, NO_GENERATION, vec![row]).await?;
        if self.record().await? != Some(next) {
            let refusal =
                "somebody else changed the live generation at the same time: look at `shopsmart generations`";
            return Err(GenerationError::Refused(refusal.to_owned()));
        }
        let told = self.parts.serving.put_many(vec![(key, value.into())]).await;
        Ok(Switched { from: live.generation, to, forced: lacks, untold: told.err() })
    }
}
