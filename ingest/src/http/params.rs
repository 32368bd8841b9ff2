//! Parameters of a query, where something is changed or forgotten for good. One that is not known is refused: passed over, a
//! misspelt one would change what was not meant. Events are taken whatever their address says besides: trackers add numbers
//! to it that keep caches away, and an event that is refused is lost.

use axum::http::Uri;
use service_runtime::Problem;
use service_runtime::http::{flag, invalid_parameter, known_parameter, query_of};

/// Whether the id in the address is an `anonymous_id`: what `DELETE /users/{id}` may be asked for. As in reads, an empty
/// parameter counts as not given.
pub(super) fn anonymous(uri: &Uri) -> Result<bool, Problem> {
    let given = known(uri, &["anonymous"])?;
    let mut values = given.iter().map(|(_, value)| value.as_str()).filter(|value| !value.is_empty());
    match (values.next(), values.next()) {
        (value, None) => flag("anonymous", value),
        (_, Some(_)) => Err(invalid_parameter("anonymous", "given once")),
    }
}

/// Nothing at all.
pub(super) fn none(uri: &Uri) -> Result<(), Problem> {
    known(uri, &[]).map(drop)
}

/// The parameters, all of which are among `known`.
fn known(uri: &Uri, known: &[&'static str]) -> Result<Vec<(String, String)>, Problem> {
    let given = query_of(uri)?;
    given.iter().try_for_each(|(name, _)| known_parameter(name, known).map(drop))?;
    Ok(given)
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
