//! Parameters of a query or a JSON body, checked one by one, so that every refusal names the parameter and what is allowed.

use crate::request::{
    HistoryRequest, RecommendationRequest, Seen, SimilarRequest, TrendRank, TrendingRequest,
};
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri, header::CONTENT_TYPE};
use schemas::event::MAX_ID_BYTES;
use schemas::published::Window;
use schemas::{Position, Version};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;
use service_runtime::Problem;
use service_runtime::http::{flag, invalid_parameter as invalid, known_parameter, query_of};
use std::fmt;

/// Most products of a session or cart given by a caller.
pub(crate) const MAX_PRODUCTS: usize = 100;
/// Most excluded products.
pub(crate) const MAX_EXCLUDED: usize = 1000;

const RECOMMENDATIONS: &[&str] = &[
    "user_id",
    "anonymous_id",
    "k",
    "category_id",
    "product_id",
    "session_id",
    "exclude",
    "seen",
    "window",
    "min_position",
    "explain",
];
const SIMILAR: &[&str] = &["k", "category_id", "exclude"];
const TRENDING: &[&str] = &["rank", "window", "category_id", "k"];
const HISTORY: &[&str] = &["anonymous", "k", "min_position"];
/// Those that may be given several times, or as a list.
const LISTS: [&str; 2] = ["product_id", "exclude"];

/// The parameters of a request as text. An empty one counts as not given, as templates leave them.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(&'static str, String)>);

impl Params {
    fn from_query(uri: &Uri, known: &'static [&'static str]) -> Result<Self, Problem> {
        let mut params = Self::default();
        for (name, value) in query_of(uri)? {
            params.add(known_parameter(&name, known)?, value)?;
        }
        Ok(params)
    }

    fn from_json(headers: &HeaderMap, body: &Bytes, known: &'static [&'static str]) -> Result<Self, Problem> {
        let kind = headers.get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default().trim());
        let json = |kind: &str| {
            let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            essence == "application/json" || essence.ends_with("+json")
        };
        if kind.is_some_and(|kind| !json(kind)) {
            let detail = "send the parameters as application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
        let Members(members) = serde_json::from_slice(body).map_err(|error| {
            let detail = match error.classify() {
                Category::Data => "the body has to be a JSON object".to_owned(),
                _ => format!("the body is not JSON: {error}"),
            };
            Problem::new(StatusCode::BAD_REQUEST, "malformed_json", detail)
        })?;
        let mut params = Self::default();
        for (name, value) in members {
            let name = known_parameter(&name, known)?;
            match value {
                Value::Array(values) if LISTS.contains(&name) => {
                    for value in values {
                        params.add(name, text(name, value)?)?;
                    }
                }
                value => params.add(name, text(name, value)?)?,
            }
        }
        Ok(params)
    }

    fn add(&mut self, name: &'static str, value: String) -> Result<(), Problem> {
        if value.is_empty() {
            return Ok(());
        }
        if !LISTS.contains(&name) && self.0.iter().any(|(other, _)| *other == name) {
            return Err(invalid(name, "given once"));
        }
        self.0.push((name, value));
        Ok(())
    }

    fn one(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(other, _)| *other == name)?;
        Some(self.0.swap_remove(at).1)
    }

    fn id(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        self.one(name).map(|id| checked_id(name, id)).transpose()
    }

    fn ids(&mut self, name: &'static str, most: usize) -> Result<Vec<String>, Problem> {
        let given = self.0.extract_if(.., |(other, _)| *other == name);
        let ids: Vec<String> = given.map(|(_, id)| checked_id(name, id)).collect::<Result<_, _>>()?;
        if ids.len() > most {
            return Err(invalid(name, &format!("given at most {most} times")));
        }
        Ok(ids)
    }

    fn k(&mut self) -> Result<u32, Problem> {
        let Some(k) = self.one("k") else { return Ok(10) };
        k.parse().ok().filter(|k| (1..=100).contains(k)).ok_or_else(|| invalid("k", "a number from 1 to 100"))
    }

    fn flag(&mut self, name: &'static str) -> Result<bool, Problem> {
        flag(name, self.one(name).as_deref())
    }

    fn window(&mut self) -> Result<Option<Window>, Problem> {
        let Some(name) = self.one("window") else { return Ok(None) };
        let window = Window::from_name(&name);
        window.map(Some).ok_or_else(|| invalid("window", "`1h`, `24h`, `7d` or `30d`"))
    }

    fn rank(&mut self) -> Result<TrendRank, Problem> {
        let Some(name) = self.one("rank") else { return Ok(TrendRank::default()) };
        let rank = TrendRank::ALL.into_iter().find(|rank| rank.name() == name);
        rank.ok_or_else(|| invalid("rank", "`popular` or `rising`"))
    }

    fn seen(&mut self) -> Result<Seen, Problem> {
        let Some(name) = self.one("seen") else { return Ok(Seen::default()) };
        let seen = Seen::ALL.into_iter().find(|seen| seen.name() == name);
        seen.ok_or_else(|| invalid("seen", "`exclude`, `include` or `purchased`"))
    }

    fn position(&mut self) -> Result<Option<Position>, Problem> {
        let Some(text) = self.one("min_position") else { return Ok(None) };
        let position: Option<Position> = text.parse().ok();
        // An offset that no version can hold was never in a receipt.
        let position = position.filter(|position| position.offset >> Version::OFFSET_BITS == 0);
        position.map(Some).ok_or_else(|| invalid("min_position", "a `position` as ingest gave it"))
    }
}

/// The members of a JSON object in their order. A map would keep the last of those with one name and say nothing.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// The parameters of `GET /recommendations`.
pub(crate) fn recommendations(uri: &Uri) -> Result<RecommendationRequest, Problem> {
    recommendation_request(Params::from_query(uri, RECOMMENDATIONS)?)
}

/// The members of the JSON of `POST /recommendations` and `/recommendations/cart`.
pub(crate) fn recommendations_json(
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<RecommendationRequest, Problem> {
    recommendation_request(Params::from_json(headers, body, RECOMMENDATIONS)?)
}

fn recommendation_request(mut params: Params) -> Result<RecommendationRequest, Problem> {
    Ok(RecommendationRequest {
        user_id: params.id("user_id")?,
        anonymous_id: params.id("anonymous_id")?,
        k: params.k()?,
        category_id: params.id("category_id")?,
        product_id: params.ids("product_id", MAX_PRODUCTS)?,
        session_id: params.id("session_id")?,
        exclude: params.ids("exclude", MAX_EXCLUDED)?,
        seen: params.seen()?,
        window: params.window()?,
        min_position: params.position()?,
        explain: params.flag("explain")?,
    })
}

/// The parameters of `GET /products/{id}/similar`.
pub(crate) fn similar(product_id: String, uri: &Uri) -> Result<SimilarRequest, Problem> {
    let mut params = Params::from_query(uri, SIMILAR)?;
    Ok(SimilarRequest {
        product_id: checked_id("product_id", product_id)?,
        k: params.k()?,
        category_id: params.id("category_id")?,
        exclude: params.ids("exclude", MAX_EXCLUDED)?,
    })
}

/// The parameters of `GET /trending`.
pub(crate) fn trending(uri: &Uri) -> Result<TrendingRequest, Problem> {
    let mut params = Params::from_query(uri, TRENDING)?;
    let (rank, window) = (params.rank()?, params.window()?);
    if rank == TrendRank::Rising && window.is_some() {
        return Err(invalid("window", "left out with `rank=rising`, which weighs days against the season"));
    }
    Ok(TrendingRequest { rank, window, category_id: params.id("category_id")?, k: params.k()? })
}

/// The parameters of `GET /users/{id}/history`.
pub(crate) fn history(id: String, uri: &Uri) -> Result<HistoryRequest, Problem> {
    let mut params = Params::from_query(uri, HISTORY)?;
    Ok(HistoryRequest {
        id: checked_id("user_id", id)?,
        anonymous: params.flag("anonymous")?,
        k: params.k()?,
        min_position: params.position()?,
    })
}

fn text(name: &'static str, value: Value) -> Result<String, Problem> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        Value::Array(_) if !LISTS.contains(&name) => Err(invalid(name, "a single value")),
        _ => Err(invalid(name, "text or a whole number")),
    }
}

fn checked_id(name: &'static str, id: String) -> Result<String, Problem> {
    if id.len() > MAX_ID_BYTES {
        return Err(invalid(name, &format!("at most {MAX_ID_BYTES} bytes long")));
    }
    Ok(id)
}

#[cfg(test)]
mod tests;
