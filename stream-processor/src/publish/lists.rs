use quick_cache::sync::Cache;
use recommender::Symbol;
use recommender::neighbours::DirectList;
use std::sync::Arc;

/// What is known of a product for ranking others.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) direct: Arc<DirectList>,
    /// Empty where unknown.
    pub(crate) category: Arc<str>,
}

/// Direct neighbour lists of products, shared by all partitions of the process: the fill of one product's list needs those
/// of others. Bounded; what is missing is read from the serving store.
pub(crate) struct ListCache {
    lists: Cache<Symbol, Known>,
}

impl ListCache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { lists: Cache::new(capacity) }
    }

    pub(crate) fn get(&self, product: Symbol) -> Option<Known> {
        self.lists.get(&product)
    }

    pub(crate) fn put(&self, product: Symbol, known: Known) {
        self.lists.insert(product, known);
    }
}
