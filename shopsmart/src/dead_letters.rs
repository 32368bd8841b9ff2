//! Records that could not be applied: looking at them, and giving them to the pipeline again.

use std::fmt;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::client::Client;

/// Exit code when some letters were not redriven.
const SOME_NOT: u8 = 2;
/// As many as the server takes in one order.
const AT_A_TIME: usize = 100;

/// Where a letter's record stands in `events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: u64,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(partition, offset)| {
            Some(Self { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
        });
        parsed.ok_or_else(|| "expected PARTITION/OFFSET, like 3/1042".to_owned())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.offset)
    }
}

#[derive(Debug, Deserialize)]
struct Letters {
    items: Vec<Letter>,
    /// Where the older ones begin.
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Letter {
    #[serde(flatten)]
    place: Place,
    reason: String,
    append_time_ms: i64,
    key: String,
    redriven_to: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Redriven {
    items: Vec<Outcome>,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    #[serde(flatten)]
    place: Place,
    result: String,
    redriven_to: Option<String>,
    detail: Option<String>,
}

/// Which letters to list.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// How many at most.
    pub limit: u32,
    /// Only those of this reason.
    pub reason: Option<&'a str>,
    /// Only those older than a page before, which said where to go on.
    pub before: Option<&'a str>,
}

/// Prints letters, the newest first.
///
/// # Errors
/// When the server does not answer or refuses.
pub async fn list(client: &Client, wanted: Wanted<'_>, as_json: bool) -> Result<()> {
    let limit = wanted.limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(wanted.reason.map(|reason| ("reason", reason)));
    query.extend(wanted.before.map(|before| ("before", before)));
    let answer: Value = client.get("/admin/dead-letters", &query).await?;
    if as_json {
        println!("{answer}");
        return Ok(());
    }
    let letters = Letters::deserialize(&answer)?;
    if letters.items.is_empty() {
        let older = if wanted.before.is_some() { "older " } else { "" };
        println!("There are no {older}dead letters.");
        return Ok(());
    }
    println!("{:<16} {:<12} {:<20} {:<20} key", "letter", "reason", "appended", "redriven to");
    for letter in &letters.items {
        let at =
            Timestamp::from_millisecond(letter.append_time_ms).map(|at| at.strftime("%FT%TZ").to_string());
        println!(
            "{:<16} {:<12} {:<20} {:<20} {}",
            letter.place.to_string(),
            letter.reason,
            at.unwrap_or_default(),
            letter.redriven_to.as_deref().unwrap_or("-"),
            letter.key.escape_debug(),
        );
    }
    if let Some(next) = letters.next {
        println!("… and older ones: --before {next}");
    }
    Ok(())
}

/// Prints one letter whole.
///
/// # Errors
/// When there is no such letter, or the server does not answer.
pub async fn show(client: &Client, place: Place) -> Result<()> {
    let Place { partition, offset } = place;
    let letter: Value = client.get(&format!("/admin/dead-letters/{partition}/{offset}"), &[]).await?;
    println!("{letter:#}");
    Ok(())
}

/// Has letters appended to the log again, and says what became of each.
///
/// # Errors
/// When the server does not answer or refuses.
pub async fn redrive(client: &Client, letters: &[Place]) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for chunk in letters.chunks(AT_A_TIME) {
        let answer: Redriven =
            client.post("/admin/dead-letters/redrive", &json!({ "letters": chunk })).await?;
        for Outcome { place, result, redriven_to, detail } in answer.items {
            let to = redriven_to.map(|to| format!(", now {to}")).unwrap_or_default();
            let why = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
            println!("{place}: {}{to}{why}", result.replace('_', " "));
            if !result.starts_with("redriven") {
                code = ExitCode::from(SOME_NOT);
            }
        }
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_named_by_partition_and_offset() {
        assert_eq!("3/1042".parse(), Ok(Place { partition: 3, offset: 1042 }));
        assert_eq!(Place { partition: 3, offset: 1042 }.to_string(), "3/1042");
        for wrong in ["", "3", "3/", "/4", "a/b", "-1/2", "3/4/5"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
