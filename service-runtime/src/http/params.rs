//! Parameters of a query: what every service refuses, and says, alike.

use super::Problem;
use axum::extract::Query;
use axum::http::{StatusCode, Uri};

/// The parameters of an address in their order, decoded; one name may come several times.
///
/// # Errors
/// 400 `malformed_query`.
pub fn query_of(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    let Query(given) = Query::try_from_uri(uri)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "malformed_query", error.body_text()))?;
    Ok(given)
}

/// The one of `known` that is `name`. What is not known is refused: passed over, a misspelt parameter would do what was not meant.
///
/// # Errors
/// 422 `unknown_parameter`, which names those there are.
pub fn known_parameter(name: &str, known: &[&'static str]) -> Result<&'static str, Problem> {
    known.iter().copied().find(|known| *known == name).ok_or_else(|| {
        let there_are = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let detail = format!("there is no parameter `{name}` here; there are {there_are}");
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown_parameter", detail).member("parameter", name)
    })
}

/// A parameter that is known but whose value cannot be served: 422 with the code `invalid_<name>`. `allowed` ends "it has to be".
pub fn invalid_parameter(name: &str, allowed: &str) -> Problem {
    let detail = format!("`{name}` has to be {allowed}");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, &format!("invalid_{name}"), detail)
        .member("parameter", name)
}

/// A parameter that is true or false; not given is false.
///
/// # Errors
/// 422 `invalid_<name>`.
pub fn flag(name: &str, value: Option<&str>) -> Result<bool, Problem> {
    match value {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => Err(invalid_parameter(name, "`true` or `false`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_come_decoded_and_in_their_order() {
        let uri: Uri = "/users/7?b=1%2C5&a=&%61=x+y&".parse().unwrap();
        let expected = [("b", "1,5"), ("a", ""), ("a", "x y")];
        let given = query_of(&uri).unwrap();
        assert!(given.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected), "{given:?}");
    }

    #[test]
    fn a_refusal_names_the_parameter_and_what_is_allowed() {
        assert_eq!(known_parameter("k", &["user_id", "k"]).unwrap(), "k");
        let unknown = known_parameter("limit", &["user_id", "k"]).unwrap_err();
        assert_eq!(unknown.code(), "unknown_parameter");
        assert_eq!(unknown.detail(), "there is no parameter `limit` here; there are user_id, k");
        let none = known_parameter("limit", &[]).unwrap_err();
        assert_eq!(none.detail(), "there is no parameter `limit` here; there are none");
        assert_eq!((flag("all", None).unwrap(), flag("all", Some("1")).unwrap()), (false, true));
        let invalid = flag("all", Some("TRUE")).unwrap_err();
        assert_eq!((invalid.status().as_u16(), invalid.code()), (422, "invalid_all"));
        assert_eq!(invalid.body().members["parameter"], "all");
    }
}
