//! `DELETE /users/{id}`, when nothing goes well.

use super::super::site::Site;
use anyhow::{Context, Result, ensure};
use tokio::time::Instant;
use xtask::services::Part;

/// A copy is frozen with these users' rows in its hands; the order to forget them is carried out by others, of which one is
/// killed meanwhile, so that it is read again; then the frozen one goes on. Gone is gone, in Redis and in Cassandra, and what
/// comes later begins a new history.
pub async fn while_copies_fail(site: &mut Site<'_>) -> Result<()> {
    let (plan, users) = (site.plan(), site.plan().forgotten_users());
    let before = plan.before_forgetting();
    let known = before.len();
    for events in before {
        site.sender.send_singly(events).await?;
    }
    site.history_lengths(&users, known, false).await?;

    let begun = site.fault_begins();
    site.freeze_copy(0)?;
    site.sender.forget(&users).await?;
    site.all_owned().await?;
    site.kill_copy(1)?;
    site.start_copy(1).await?;
    site.all_owned().await?;
    site.history_lengths(&users, 0, false).await?;
    site.thaw_copy(0)?;
    site.recovered(begun).await?;
    site.all_owned().await?;
    site.history_lengths(&users, 0, false).await?;

    site.servers_do(|servers| servers.kill(Part::Redis))?;
    site.history_lengths(&users, 0, true).await?;
    nothing_personal(site, &users).await?;
    site.servers_do(|servers| servers.start_again(Part::Redis))?;
    site.recovered(Instant::now()).await?;
    site.undegraded().await?;
    site.history_lengths(&users, 0, false).await?;
    nothing_personal(site, &users).await?;

    let mut after = plan.after_forgetting().into_iter();
    site.sender.send_singly(after.next().context("there are events afterwards")?).await?;
    site.history_lengths(&users, 1, false).await?;
    for events in after {
        site.sender.send_singly(events).await?;
    }
    Ok(())
}

async fn nothing_personal(site: &Site<'_>, users: &[String]) -> Result<()> {
    for user in users {
        let answer = site.recommendations(user).await.context("no recommendations")?;
        let items = answer["items"].as_array().context("recommendations without items")?;
        let personal = items.iter().any(|item| item["source"] == "personalized");
        ensure!(!personal, "{user} was forgotten, and is recommended {answer}");
    }
    Ok(())
}
