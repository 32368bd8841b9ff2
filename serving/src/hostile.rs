//! Whatever stands in a query or a body, reading it ends with a refusal that has a code, or with a request that keeps every
//! limit.
//!
//! The function here is the body of a fuzz target (`cargo xtask fuzz`) and of the bounded run in the tests below.

use crate::http::params;
use crate::request::RecommendationRequest;
use axum::body::Bytes;
use axum::http::{HeaderMap, Uri};
use schemas::event::MAX_ID_BYTES;
use service_runtime::Problem;

/// Reads bytes as the parameters of each address. The first byte says whether as a query or as a body. Gives how many
/// addresses took them.
///
/// # Panics
/// When a request that was taken breaks a limit, or a refusal is none.
pub fn request(input: &[u8]) -> usize {
    let Some((&how, given)) = input.split_first() else { return 0 };
    if how % 2 == 1 {
        let body = Bytes::copy_from_slice(given);
        return taken(params::recommendations_json(&HeaderMap::new(), &body), check);
    }
    let Ok(text) = std::str::from_utf8(given) else { return 0 };
    let Ok(uri) = format!("/x?{text}").parse::<Uri>() else { return 0 };
    let id = || text.to_owned();
    taken(params::recommendations(&uri), check)
        + taken(params::similar(id(), &uri), |request| {
            check_k(request.k);
            check_ids(&[request.product_id], 1);
            check_ids(&request.exclude, params::MAX_EXCLUDED);
        })
        + taken(params::trending(&uri), |request| check_k(request.k))
        + taken(params::history(id(), &uri), |request| {
            check_k(request.k);
            check_ids(&[request.id], 1);
        })
}

fn taken<T>(read: Result<T, Problem>, check: impl FnOnce(T)) -> usize {
    match read {
        Ok(request) => {
            check(request);
            1
        }
        Err(problem) => {
            assert!(problem.status().is_client_error() && !problem.code().is_empty(), "{problem:?}");
            0
        }
    }
}

fn check(request: RecommendationRequest) {
    check_k(request.k);
    check_ids(&request.product_id, params::MAX_PRODUCTS);
    check_ids(&request.exclude, params::MAX_EXCLUDED);
    let single = [request.user_id, request.anonymous_id, request.category_id, request.session_id];
    single.into_iter().flatten().for_each(|id| check_ids(&[id], 1));
}

fn check_k(k: u32) {
    assert!((1..=100).contains(&k), "{k}");
}

fn check_ids(ids: &[String], most: usize) {
    assert!(ids.len() <= most && ids.iter().all(|id| id.len() <= MAX_ID_BYTES));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Parts of queries and of JSON that are likely to mean something here.
    fn parts(of: &[&'static str]) -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(of.to_vec()), 0..12).prop_map(|parts| parts.concat())
    }

    const QUERY: [&str; 21] = [
        "k=3",
        "k=0",
        "k=",
        "&",
        "&",
        "&",
        "exclude=a",
        "product_id=p",
        "%",
        "%ff",
        "%00",
        "user_id=ada",
        "seen=include",
        "=",
        "é",
        "window=1h",
        "rank=rising",
        "min_position=AQAA",
        "min_position=AQD_____________AQ",
        "explain=true",
        "anonymous=1",
    ];
    const JSON: [&str; 20] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        "\"k\":",
        "3",
        "1e999",
        "-1",
        "\"exclude\":",
        "\"a\"",
        "null",
        "true",
        "\"product_id\":[",
        "{}",
        "\"user_id\":\"ada\"",
        "99999999999999999999",
        "\"",
        "\\ud800",
        "\"window\":\"7d\"",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn any_query_is_refused_or_keeps_every_limit(query in parts(&QUERY), bytes in prop::collection::vec(any::<u8>(), 0..50)) {
            request(&[&[0], query.as_bytes()].concat());
            request(&[&[0], &*bytes].concat());
        }

        #[test]
        fn any_body_is_refused_or_keeps_every_limit(json in parts(&JSON), bytes in prop::collection::vec(any::<u8>(), 0..50)) {
            request(&[&[1], json.as_bytes()].concat());
            request(&[&[1], &*bytes].concat());
        }
    }

    #[test]
    fn sound_parameters_are_taken() {
        assert_eq!(request(b"\0k=3"), 4);
        assert_eq!(request(b"\0user_id=ada&exclude=a&exclude=b"), 1);
        assert_eq!(request(&[&[1], &br#"{"k":3,"exclude":["a",7]}"#[..]].concat()), 1);
    }
}
