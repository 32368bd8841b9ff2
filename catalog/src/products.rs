use crate::intern::Interner;
use dashmap::DashMap;
use dashmap::mapref::one::Ref;
use event_log::Record;
use prost::Message;
use schemas::proto::Product;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What is known of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Category ids from the root to the leaf; empty when the catalog does not say.
    pub category_path: Arc<[Arc<str>]>,
    /// False for products that must not be shown: switched off or removed.
    pub active: bool,
}

/// The catalog as of the last record applied. Reading takes no lock that is held for longer than a look-up, and gives out
/// no guard, so it is safe anywhere in async code.
#[derive(Debug)]
pub struct Catalog {
    products: DashMap<Box<str>, Entry, foldhash::fast::RandomState>,
    /// Whether a product was ever known. A shop that sends no catalog does not pay for looking into it.
    is_used: AtomicBool,
    paths: Mutex<Interner>,
    loaded: watch::Sender<bool>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            products: DashMap::default(),
            is_used: AtomicBool::new(false),
            paths: Mutex::default(),
            loaded: watch::Sender::new(false),
        }
    }
}

impl Catalog {
    /// An empty catalog that is not loaded.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over a record of the topic `products`. A removed product stays known as inactive, because lists that name
    /// it were published before. A record that cannot be read changes nothing.
    pub fn apply(&self, record: &Record) {
        let Ok(id) = std::str::from_utf8(&record.key) else {
            tracing::warn!(offset = record.offset, "skipping a product whose id is not UTF-8");
            return;
        };
        let product = match Product::decode(record.value.clone()) {
            // An empty value is a removal; Protobuf reads it as a product with nothing set, which is not active.
            Ok(product) => product,
            Err(error) => {
                tracing::warn!(offset = record.offset, id, %error, "skipping a product that cannot be read");
                return;
            }
        };
        let category_path =
            self.paths.lock().unwrap_or_else(PoisonError::into_inner).path(&product.category_path);
        self.products.insert(id.into(), Entry { category_path, active: product.active });
        self.is_used.store(true, Ordering::Release);
    }

    /// What is known of a product; `None` when it was never sent.
    pub fn lookup(&self, id: &str) -> Option<Entry> {
        self.entry(id).map(|entry| entry.clone())
    }

    /// Whether a product may be shown. Unknown products may.
    pub fn is_active(&self, id: &str) -> bool {
        self.entry(id).is_none_or(|entry| entry.active)
    }

    /// Whether a product is in `category`: when it is any element of its path. Where the catalog does not know the
    /// product's path, `fallback_category` (the category that came with its events) must be the very one.
    pub fn in_category(&self, id: &str, category: &str, fallback_category: &str) -> bool {
        match self.entry(id) {
            Some(entry) if !entry.category_path.is_empty() => {
                entry.category_path.iter().any(|element| &**element == category)
            }
            _ => fallback_category == category,
        }
    }

    fn entry(&self, id: &str) -> Option<Ref<'_, Box<str>, Entry>> {
        if self.is_used.load(Ordering::Acquire) { self.products.get(id) } else { None }
    }

    /// Number of products known, removed ones included.
    pub fn len(&self) -> usize {
        self.products.len()
    }

    /// Whether no product is known.
    pub fn is_empty(&self) -> bool {
        self.products.is_empty()
    }

    /// Whether everything that the topic held when [`crate::follow`] began has been applied.
    pub fn is_loaded(&self) -> bool {
        *self.loaded.borrow()
    }

    /// Waits until [`Catalog::is_loaded`].
    pub async fn loaded(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.loaded.subscribe().wait_for(|loaded| *loaded).await;
    }

    /// Notes that the catalog is complete: called by [`crate::follow`], and by whoever fills one by hand.
    pub fn mark_loaded(&self) {
        self.loaded.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn record(id: &str, value: impl Into<Bytes>) -> Record {
        Record { offset: 0, append_time_ms: 0, key: id.to_owned().into(), value: value.into() }
    }

    fn product(path: &[&str], active: bool) -> Vec<u8> {
        let category_path = path.iter().map(|name| (*name).to_owned()).collect();
        Product { category_path, active, ..Product::default() }.encode_to_vec()
    }

    #[test]
    fn unknown_products_are_active_and_in_the_category_of_their_events() {
        let catalog = Catalog::new();
        assert!(catalog.is_active("7"));
        assert!(catalog.in_category("7", "pans", "pans"));
        assert!(!catalog.in_category("7", "pans", ""));
        assert_eq!(catalog.lookup("7"), None);
    }

    #[test]
    fn a_product_is_in_every_category_of_its_path_and_no_other() {
        let catalog = Catalog::new();
        catalog.apply(&record("7", product(&["home", "kitchen", "pans"], true)));
        for category in ["home", "kitchen", "pans"] {
            assert!(catalog.in_category("7", category, "toys"));
        }
        assert!(!catalog.in_category("7", "toys", "toys"), "the catalog knows better than old events");
    }

    #[test]
    fn a_product_without_a_path_is_in_the_category_of_its_events() {
        let catalog = Catalog::new();
        catalog.apply(&record("7", product(&[], true)));
        assert!(catalog.in_category("7", "pans", "pans"));
    }

    #[test]
    fn the_last_record_of_a_product_holds() {
        let catalog = Catalog::new();
        catalog.apply(&record("7", product(&["pans"], true)));
        assert!(catalog.is_active("7"));
        catalog.apply(&record("7", product(&["pans"], false)));
        assert!(!catalog.is_active("7"));
        catalog.apply(&record("7", product(&["pans"], true)));
        assert!(catalog.is_active("7"));
        catalog.apply(&record("7", Bytes::new()));
        assert!(!catalog.is_active("7"), "a removed product must not be shown");
    }

    #[test]
    fn a_record_that_cannot_be_read_changes_nothing() {
        let catalog = Catalog::new();
        catalog.apply(&record("7", product(&["pans"], false)));
        catalog.apply(&record("7", vec![0xff; 3]));
        assert!(!catalog.is_active("7"));
        assert_eq!(catalog.len(), 1);
    }
}
