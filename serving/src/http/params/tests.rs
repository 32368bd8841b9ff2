use super::*;

fn query(query: &str) -> Result<RecommendationRequest, (u16, String)> {
    let uri: Uri = format!("/recommendations?{query}").parse().unwrap();
    recommendations(&uri).map_err(|problem| (problem.status().as_u16(), problem.code().to_owned()))
}

fn json(body: &str) -> Result<RecommendationRequest, (u16, String)> {
    recommendations_json(&HeaderMap::new(), &Bytes::copy_from_slice(body.as_bytes()))
        .map_err(|problem| (problem.status().as_u16(), problem.code().to_owned()))
}

#[test]
fn a_query_and_its_json_twin_ask_the_same() {
    let position = Position { partition: 3, offset: 300 };
    let by_query = query(&format!(
        "user_id=7&k=20&category_id=pans&product_id=1&product_id=2&exclude=3&exclude=4&seen=purchased\
         &window=7d&min_position={position}&explain=true&session_id=s"
    ));
    let by_json = json(&format!(
        r#"{{"user_id":7,"k":20,"category_id":"pans","product_id":[1,"2"],"exclude":["3",4],"seen":"purchased",
            "window":"7d","min_position":"{position}","explain":true,"session_id":"s"}}"#
    ));
    assert_eq!(by_query, by_json);
    let request = by_query.unwrap();
    assert_eq!(request.product_id, ["1", "2"]);
    assert_eq!((request.k, request.seen, request.window), (20, Seen::Purchased, Some(Window::Week)));
    assert_eq!(request.min_position, Some(position));
    assert_eq!(request.user().unwrap().as_str(), "7");
}

#[test]
fn a_member_given_twice_is_refused_as_in_a_query() {
    let refused = Err((422, "invalid_k".to_owned()));
    assert_eq!((json(r#"{"k":1,"k":2}"#), query("k=1&k=2")), (refused.clone(), refused));
    let lists = json(r#"{"exclude":["a"],"exclude":"b"}"#).unwrap();
    assert_eq!(lists, query("exclude=a&exclude=b").unwrap());
}

#[test]
fn what_is_empty_counts_as_not_given() {
    let expected = RecommendationRequest { k: 10, ..RecommendationRequest::default() };
    assert_eq!(query(""), Ok(expected.clone()));
    assert_eq!(query("user_id=&k=&category_id=&exclude="), Ok(expected.clone()));
    assert_eq!(json(r#"{"user_id":null,"exclude":[],"k":""}"#), Ok(expected));
}

#[test]
fn a_browser_is_named_apart_from_users() {
    assert_eq!(query("anonymous_id=7").unwrap().user().unwrap().as_str(), "~a:7");
    assert_eq!(query("anonymous_id=7&user_id=8").unwrap().user().unwrap().as_str(), "8");
}

#[test]
fn refusals_name_the_parameter_by_their_code() {
    let long = "x".repeat(257);
    for (text, code) in [
        ("k=0", "invalid_k"),
        ("k=101", "invalid_k"),
        ("k=ten", "invalid_k"),
        ("k=1&k=2", "invalid_k"),
        ("seen=never", "invalid_seen"),
        ("window=2h", "invalid_window"),
        ("explain=maybe", "invalid_explain"),
        ("min_position=junk", "invalid_min_position"),
        ("exlude=7", "unknown_parameter"),
        (format!("user_id={long}").as_str(), "invalid_user_id"),
        ("product_id=1&".repeat(101).as_str(), "invalid_product_id"),
        ("exclude=1&".repeat(1001).as_str(), "invalid_exclude"),
    ] {
        assert_eq!(query(text), Err((422, code.to_owned())), "{text}");
    }
    let beyond = Position { partition: 0, offset: 1 << Version::OFFSET_BITS };
    assert_eq!(query(&format!("min_position={beyond}")), Err((422, "invalid_min_position".to_owned())));
}

#[test]
fn a_body_that_is_not_the_json_expected_is_refused() {
    for (body, status, code) in [
        ("", 400, "malformed_json"),
        ("[]", 400, "malformed_json"),
        (r#"{"k":"#, 400, "malformed_json"),
        (r#"{"k":1.5}"#, 422, "invalid_k"),
        (r#"{"user_id":{}}"#, 422, "invalid_user_id"),
        (r#"{"user_id":["7"]}"#, 422, "invalid_user_id"),
        (r#"{"product_id":[["7"]]}"#, 422, "invalid_product_id"),
        (r#"{"limit":7}"#, 422, "unknown_parameter"),
    ] {
        assert_eq!(json(body), Err((status, code.to_owned())), "{body}");
    }
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, "text/plain".parse().unwrap());
    let refusal = recommendations_json(&headers, &Bytes::from_static(b"{}")).unwrap_err();
    assert_eq!((refusal.status().as_u16(), refusal.code()), (415, "unsupported_media_type"));
    headers.insert(CONTENT_TYPE, "Application/JSON; charset=utf-8".parse().unwrap());
    assert!(recommendations_json(&headers, &Bytes::from_static(b"{}")).is_ok());
}
