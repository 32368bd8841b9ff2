use crate::request::Seen;
use catalog::Catalog;
use foldhash::fast::RandomState;
use hashbrown::HashSet;
use schemas::EventKind;
use schemas::published::HistoryEntry;

/// What must not be in an answer, in any tier.
pub(crate) struct Filter<'a> {
    catalog: &'a Catalog,
    category: Option<&'a str>,
    excluded: HashSet<&'a str, RandomState>,
}

impl<'a> Filter<'a> {
    /// Lets pass what is active and, where one is given, in `category`.
    pub(crate) fn new(catalog: &'a Catalog, category: Option<&'a str>) -> Self {
        Self { catalog, category, excluded: HashSet::default() }
    }

    pub(crate) fn exclude(&mut self, products: impl IntoIterator<Item = &'a str>) {
        self.excluded.extend(products);
    }

    /// Excludes what the shopper knows, as far as `seen` says: from the whole history and the session given.
    pub(crate) fn exclude_seen(&mut self, seen: Seen, history: &'a [HistoryEntry], session: &'a [String]) {
        match seen {
            Seen::Include => {}
            Seen::Exclude => {
                self.exclude(history.iter().map(|entry| entry.product_id.as_str()));
                self.exclude(session.iter().map(String::as_str));
            }
            Seen::Purchased => {
                let purchased = history.iter().filter(|entry| entry.kind == EventKind::Purchase);
                self.exclude(purchased.map(|entry| entry.product_id.as_str()));
            }
        }
    }

    /// Whether a product may be in the answer; `category` is that of the list that names it.
    pub(crate) fn keep(&self, product: &str, category: &str) -> bool {
        !self.excluded.contains(product)
            && self.catalog.is_active(product)
            && self.category.is_none_or(|asked| self.catalog.in_category(product, asked, category))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(product_id: &str, kind: EventKind) -> HistoryEntry {
        HistoryEntry { product_id: product_id.to_owned(), kind, timestamp_ms: 0 }
    }

    #[test]
    fn seen_modes_let_pass_what_they_name() {
        let catalog = Catalog::new();
        let history = [entry("viewed", EventKind::View), entry("bought", EventKind::Purchase)];
        let session = ["given".to_owned()];
        let kept = |seen| {
            let mut filter = Filter::new(&catalog, None);
            filter.exclude_seen(seen, &history, &session);
            ["viewed", "bought", "given", "new"].map(|id| filter.keep(id, ""))
        };
        assert_eq!(kept(Seen::Exclude), [false, false, false, true]);
        assert_eq!(kept(Seen::Purchased), [true, false, true, true]);
        assert_eq!(kept(Seen::Include), [true; 4]);
    }
}
