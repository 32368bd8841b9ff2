//! Parameters of a query, where something is changed or forgotten for good. One that is not known is refused: passed over, a
//! misspelt one would change what was not meant. Events are taken whatever their address says besides: trackers add numbers
//! to it that keep caches away, and an event that is refused is lost.

use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use service_runtime::Problem;

/// Whether the id in the address is an `anonymous_id`: what `DELETE /users/{id}` may be asked for. As in reads, an empty
/// parameter counts as not given.
pub(super) fn anonymous(uri: &Uri) -> Result<bool, Problem> {
    let given = known(uri, &["anonymous"])?;
    let mut values = given.iter().map(|(_, value)| value.as_str()).filter(|value| !value.is_empty());
    match (values.next(), values.next()) {
        (None | Some("false" | "0"), None) => Ok(false),
        (Some("true" | "1"), None) => Ok(true),
        (_, None) => Err(invalid("anonymous", "`true` or `false`")),
        (_, Some(_)) => Err(invalid("anonymous", "given once")),
    }
}

/// Nothing at all.
pub(super) fn none(uri: &Uri) -> Result<(), Problem> {
    known(uri, &[]).map(drop)
}

/// The parameters, all of which are among `known`.
fn known(uri: &Uri, known: &[&str]) -> Result<Vec<(String, String)>, Problem> {
    let Query(given) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "malformed_query", error.body_text()))?;
    match given.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        None => Ok(given),
        Some((name, _)) => Err(unknown(name, known)),
    }
}

fn unknown(name: &str, known: &[&str]) -> Problem {
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let detail = format!("there is no parameter `{name}` here; there are {known}");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown_parameter", detail).member("parameter", name)
}

/// A parameter that is known but whose value is not: 422 with the code `invalid_<name>`.
fn invalid(name: &str, allowed: &str) -> Problem {
    let detail = format!("`{name}` has to be {allowed}");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, &format!("invalid_{name}"), detail)
        .member("parameter", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(query: &str) -> Uri {
        format!("/users/7{query}").parse().unwrap()
    }

    #[test]
    fn a_flag_is_read_as_reads_read_it() {
        for (query, expected) in [
            ("", false),
            ("?", false),
            ("?anonymous=", false),
            ("?anonymous=false", false),
            ("?anonymous=0", false),
            ("?anonymous=true", true),
            ("?anonymous=1", true),
            ("?anonymous=&%61nonymous=true&", true),
        ] {
            assert_eq!(anonymous(&uri(query)).unwrap(), expected, "{query}");
        }
        for query in ["?anonymous=TRUE", "?anonymous=yes", "?anonymous=true&anonymous=true"] {
            let problem = anonymous(&uri(query)).unwrap_err();
            assert_eq!(problem.code(), "invalid_anonymous", "{query}");
        }
    }
}
