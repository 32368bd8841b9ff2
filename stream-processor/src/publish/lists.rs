use super::outlines::{Looking, Outlines, Source};
use quick_cache::sync::Cache;
use recommender::Symbol;
use recommender::neighbours::DirectList;
use smol_str::SmolStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What is known of a product for ranking others.
pub(crate) struct Known {
    pub(crate) direct: DirectList,
    /// Empty where unknown.
    pub(crate) category: SmolStr,
}

/// What another process published is read again after that.
const READ_AGAIN: Duration = Duration::from_secs(60);
/// What was not there when it was read is looked for again after that.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Direct neighbour lists of products, shared by all partitions of the process: the fill of one product's list needs those
/// of others. Bounded; what is missing is read from the serving store.
pub(crate) struct ListCache {
    lists: Cache<Symbol, Entry>,
    /// Of all products that there ever were lists of.
    outlines: Outlines,
}

#[derive(Clone)]
struct Entry {
    known: Option<Arc<Known>>,
    /// When it is to be read (again); never where this process ranked it itself.
    due: Option<Instant>,
}

impl ListCache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { lists: Cache::new(capacity), outlines: Outlines::default() }
    }

    /// What is known of products even when their lists are not kept.
    pub(crate) fn outlines(&self, now: Instant) -> Looking<'_> {
        self.outlines.look(now)
    }

    /// A product's category; empty where it is not known.
    pub(crate) fn category_of(&self, outlines: &Looking<'_>, product: Symbol) -> SmolStr {
        self.outlines.category_of(outlines, product)
    }

    /// What is known of a product, and whether it is time to read it.
    pub(crate) fn look(&self, product: Symbol, now: Instant) -> (Option<Arc<Known>>, bool) {
        match self.lists.get(&product) {
            Some(entry) => (entry.known, entry.due.is_some_and(|due| due <= now)),
            None => (None, true),
        }
    }

    pub(crate) fn get(&self, product: Symbol) -> Option<Arc<Known>> {
        self.lists.get(&product)?.known
    }

    /// This process ranked it.
    pub(crate) fn put(&self, product: Symbol, known: Arc<Known>, now: Instant) {
        let own = Entry { known: Some(Arc::clone(&known)), due: None };
        // Before the outline, lest one that is being read takes that one's place as well.
        self.lists.insert(product, own);
        self.outlines.note(product, &known.direct.popularity, &known.category, Source::Own, now);
    }

    /// What the serving store has of a product.
    pub(crate) fn read(&self, product: Symbol, known: Option<Known>, now: Instant) {
        let due = now + if known.is_some() { READ_AGAIN } else { LOOK_AGAIN };
        let read = Entry { known: known.map(Arc::new), due: Some(due) };
        // What this process ranked meanwhile is newer.
        let is_own = |entry: Entry| entry.due.is_none();
        if !self.lists.get(&product).is_some_and(is_own) {
            if let Some(known) = read.known.as_ref().filter(|_| !self.outlines(now).is_own(product)) {
                self.outlines.note(product, &known.direct.popularity, &known.category, Source::Read, now);
            }
            self.lists.insert(product, read);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        Known { direct: DirectList::default(), category: "c".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_publish_is_read_again_and_what_is_missing_is_not_asked_for_each_time() {
        let (lists, now, product) = (ListCache::new(100), Instant::now(), Symbol(1));
        assert!(lists.look(product, now).1, "nobody looked for it yet");
        lists.read(product, None, now);
        let (found, is_due) = lists.look(product, now);
        assert!(found.is_none() && !is_due);
        assert!(lists.look(product, now + LOOK_AGAIN).1);
        lists.read(product, Some(known()), now);
        let (found, is_due) = lists.look(product, now + LOOK_AGAIN);
        assert!(found.is_some() && !is_due);
        let (found, is_due) = lists.look(product, now + READ_AGAIN);
        assert!(found.is_some() && is_due, "until then the old one is better than none");
        lists.put(product, Arc::new(known()), now);
        lists.read(product, None, now);
        let (found, is_due) = lists.look(product, now + 2 * READ_AGAIN);
        assert!(found.is_some() && !is_due, "this process knows best what it ranks itself");
    }
}
