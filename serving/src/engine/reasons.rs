use super::Given;
use super::freshness::rfc3339;
use crate::answer::{Reason, ReasonCode};
use recommender::ranking::Ranked;
use recommender::session::Session;
use schemas::EventKind;
use schemas::published::{HistoryEntry, TrendingEntry, Window};

/// Why a product was ranked. `entries` are what `session` was taken from.
pub(crate) fn ranked(
    item: &Ranked,
    session: &Session<'_>,
    entries: &[HistoryEntry],
    given: Given,
) -> Option<Reason> {
    let product = session.products.get(item.because as usize)?.product_id;
    let when = if session.is_profile { "before" } else { "in this session" };
    // The time of a product given by the caller is not known to us.
    let entry =
        entries.iter().find(|entry| entry.product_id == product).filter(|entry| entry.timestamp_ms != 0);
    let at = entry.map(|entry| rfc3339(entry.timestamp_ms));
    let place = match (given, entry.map(|entry| entry.kind)) {
        (Given::Cart, _) => format!("{product}, which is in the cart"),
        (Given::Session, None) => format!("{product}, seen {when}"),
        (Given::Session, Some(kind)) => format!("{product}, {} {when}", done(kind)),
    };
    let (code, text) = if item.repeat {
        (ReasonCode::SeenBefore, format!("shoppers often return to a product such as {place}"))
    } else if item.count > 0 {
        let times = if item.count == 1 { "once".to_owned() } else { format!("{} times", item.count) };
        (ReasonCode::SeenTogether, format!("seen {times} in one session with {place}"))
    } else {
        (ReasonCode::Similar, format!("goes with what goes with {place}"))
    };
    Some(Reason {
        code,
        text,
        product_id: Some(product.to_owned()),
        event_type: entry.map(|entry| entry.kind),
        at,
        count: (item.count > 0).then_some(item.count.into()),
        window: None,
        category_id: None,
    })
}

/// Why a product trends.
pub(crate) fn trending(entry: &TrendingEntry, window: Window, category: Option<&str>) -> Reason {
    let place = category.map_or("the shop".to_owned(), |category| format!("category {category}"));
    Reason {
        code: ReasonCode::Trending,
        text: format!("{} events within {} in {place}", entry.count, window.name()),
        product_id: None,
        event_type: None,
        at: None,
        count: Some(entry.count),
        window: Some(window),
        category_id: category.map(str::to_owned),
    }
}

const fn done(kind: EventKind) -> &'static str {
    match kind {
        EventKind::View => "viewed",
        EventKind::AddToCart => "put into the cart",
        EventKind::Purchase => "bought",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recommender::session::session_of;

    #[test]
    fn what_was_done_before_is_not_said_to_be_of_this_session() {
        const DAY_MS: i64 = 24 * 3_600_000;
        let entries =
            [HistoryEntry { product_id: "kettle".into(), kind: EventKind::Purchase, timestamp_ms: DAY_MS }];
        let item = Ranked { product_id: "teapot".into(), score: 1.0, repeat: false, because: 0, count: 2 };
        let text = |now_ms: i64| {
            let session = session_of(&entries, Some(now_ms));
            ranked(&item, &session, &entries, Given::Session).unwrap().text
        };
        assert_eq!(text(DAY_MS), "seen 2 times in one session with kettle, bought in this session");
        assert_eq!(text(2 * DAY_MS), "seen 2 times in one session with kettle, bought before");
    }
}
