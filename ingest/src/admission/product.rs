//! Products: from JSON to what the catalog keeps.

use std::borrow::Cow;

use schemas::proto::Product;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::event::{currency, price};
use super::fields::{Field, read_object};
use super::{Code, Rejection, ids, object};

const MAX_NAME_BYTES: usize = 1024;
const MAX_URL_BYTES: usize = 2048;
const MAX_CATEGORY_DEPTH: usize = 16;

#[derive(Deserialize)]
struct Json<'a> {
    #[serde(borrow, default)]
    product_id: Field<'a>,
    #[serde(borrow, default)]
    name: Field<'a>,
    #[serde(borrow, default)]
    category_path: Option<&'a RawValue>,
    #[serde(borrow, default)]
    price: Field<'a>,
    #[serde(borrow, default)]
    currency: Field<'a>,
    #[serde(borrow, default)]
    image_url: Field<'a>,
    #[serde(borrow, default)]
    active: Field<'a>,
    #[serde(borrow, default)]
    attributes: Option<&'a RawValue>,
}

/// A product's JSON as a record, or why not. `in_path` is the id that stood in the address; the JSON may leave it out
/// then. A product replaces the earlier one of its id as a whole, and is active unless it says otherwise.
///
/// # Errors
/// The first rule that it breaks, with its `product_id` where that could be read.
pub fn admit_product(json: &str, in_path: Option<&str>, received_at_ms: i64) -> Result<Product, Rejection> {
    let mut json: Json<'_> = read_object(json)?;
    let product_id = product_id(std::mem::take(&mut json.product_id), in_path)?;
    match admit(json, received_at_ms) {
        Ok(product) => Ok(Product { product_id, ..product }),
        Err(rejection) => Err(rejection.about(product_id)),
    }
}

fn product_id(field: Field<'_>, in_path: Option<&str>) -> Result<String, Rejection> {
    let Some(in_path) = in_path else { return ids::product_id(field) };
    if field != Field::Absent && ids::product_id(field)? != in_path {
        let detail = "`product_id` differs from the id in the address";
        return Err(Rejection::new(Code::ProductIdMismatch, detail).about(in_path.to_owned()));
    }
    Ok(in_path.to_owned())
}

fn admit(json: Json<'_>, received_at_ms: i64) -> Result<Product, Rejection> {
    Ok(Product {
        product_id: String::new(),
        name: name(json.name)?,
        category_path: category_path(json.category_path)?,
        price: price(&json.price)?,
        currency: currency(&json.currency)?,
        image_url: image_url(json.image_url)?,
        active: match json.active {
            Field::Absent => true,
            Field::Boolean(active) => active,
            _ => return Err(Rejection::new(Code::InvalidActive, "`active` is neither true nor false")),
        },
        attributes: object::text(json.attributes, Code::InvalidAttributes, "attributes")?,
        updated_at_ms: received_at_ms,
    })
}

fn name(field: Field<'_>) -> Result<String, Rejection> {
    match field {
        Field::Absent => Ok(String::new()),
        Field::Text(name) if name.len() <= MAX_NAME_BYTES && !name.chars().any(char::is_control) => {
            Ok(name.into_owned())
        }
        _ => {
            let detail =
                format!("`name` is not a text of at most {MAX_NAME_BYTES} bytes without control characters");
            Err(Rejection::new(Code::InvalidName, detail))
        }
    }
}

fn category_path(value: Option<&RawValue>) -> Result<Vec<String>, Rejection> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let refused = |detail: Cow<'static, str>| Rejection::new(Code::InvalidCategoryPath, detail);
    let fields: Vec<Field<'_>> = serde_json::from_str(value.get()).map_err(|_| {
        refused("`category_path` is not a list of category ids from the root to the leaf".into())
    })?;
    if fields.len() > MAX_CATEGORY_DEPTH {
        return Err(refused(format!("`category_path` has more than {MAX_CATEGORY_DEPTH} levels").into()));
    }
    fields
        .into_iter()
        .map(|field| match ids::optional(field, Code::InvalidCategoryPath, "category_path")? {
            id if id.is_empty() => Err(refused("`category_path` holds an empty id".into())),
            id => Ok(id),
        })
        .collect()
}

/// Only what a browser may safely be told to load as an image.
fn image_url(field: Field<'_>) -> Result<String, Rejection> {
    let url = match field {
        Field::Absent => return Ok(String::new()),
        Field::Text(url) => url,
        _ => Cow::Borrowed("\0"),
    };
    let start = |scheme: &str| url.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme));
    let scheme = url.is_empty() || start("https://") || start("http://") || start("/");
    if scheme && url.len() <= MAX_URL_BYTES && !url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Ok(url.into_owned());
    }
    let detail = format!("`image_url` is not an http(s) address or a path, of at most {MAX_URL_BYTES} bytes");
    Err(Rejection::new(Code::InvalidImageUrl, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(field: &str) -> Result<Product, Code> {
        let json = format!(r#"{{"product_id":"p",{field}}}"#);
        admit_product(&json, None, 5).map_err(|r| r.code)
    }

    #[test]
    fn every_field_reaches_the_catalog() {
        let product = admit(
            r#""name":"Kettle","category_path":["home",7],"price":29,"currency":"EUR","image_url":"https://x/k.png",
               "active":false,"attributes":{"colour":"red"}"#,
        );
        let expected = Product {
            product_id: "p".into(),
            name: "Kettle".into(),
            category_path: vec!["home".into(), "7".into()],
            price: 29.0,
            currency: "EUR".into(),
            image_url: "https://x/k.png".into(),
            active: false,
            attributes: r#"{"colour":"red"}"#.into(),
            updated_at_ms: 5,
        };
        assert_eq!(product, Ok(expected));
    }

    #[test]
    fn a_product_is_active_unless_it_says_otherwise() {
        assert!(admit(r#""name":"x""#).unwrap().active);
        assert_eq!(admit(r#""active":"yes""#), Err(Code::InvalidActive));
    }

    #[test]
    fn attributes_are_an_object_of_at_most_eight_levels() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(9), "}".repeat(9));
        for bad in ["[1]", r#""red""#, &deep] {
            assert_eq!(admit(&format!(r#""attributes":{bad}"#)), Err(Code::InvalidAttributes), "{bad}");
        }
    }

    #[test]
    fn the_id_in_the_address_stands_unless_the_product_contradicts() {
        let put = |json| admit_product(json, Some("7"), 0).map(|p| p.product_id).map_err(|r| r.code);
        assert_eq!(put("{}").as_deref(), Ok("7"));
        assert_eq!(put(r#"{"product_id":7}"#).as_deref(), Ok("7"));
        assert_eq!(put(r#"{"product_id":"8"}"#), Err(Code::ProductIdMismatch));
    }

    #[test]
    fn an_image_address_can_do_nothing_but_show_an_image() {
        for good in ["", "http://x/a.png", "HTTPS://x/a.png", "/img/a.png", "//cdn/a.png"] {
            assert!(admit(&format!(r#""image_url":"{good}""#)).is_ok(), "{good}");
        }
        for bad in ["javascript:alert(1)", "data:image/png;base64,AA", "x.png", "https://x/ a", "é"] {
            assert_eq!(admit(&format!(r#""image_url":"{bad}""#)), Err(Code::InvalidImageUrl), "{bad}");
        }
        assert_eq!(admit(r#""image_url":7"#), Err(Code::InvalidImageUrl));
    }

    #[test]
    fn a_category_path_is_a_list_of_ids() {
        for bad in [r#""home""#, r#"[""]"#, "[null]", "[[]]", "{}", &format!("[{}1]", "1,".repeat(16))] {
            assert_eq!(admit(&format!(r#""category_path":{bad}"#)), Err(Code::InvalidCategoryPath), "{bad}");
        }
    }
}
