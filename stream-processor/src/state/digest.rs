use crate::outcome::OutcomeCounts;
use crate::progress::{ProductProgress, ShopperProgress, StageName, progress_key};
use blake3::Hasher;
use recommender::co_occurrence::MAX_CANDIDATES;
use recommender::{Interner, ProductRow, UserRow};
use schemas::proto::Outcome;
use schemas::published::RepeatTable;
use schemas::{DecodeError, Version};
use std::fmt;
use stores::{Row, StateStore, StoreError, Table};

/// A hash of all that does not depend on how partitions interleave: histories, windows, counts, applied events. Two runs over
/// the same events at equal partition counts have the same digest, on whatever log and stores, and whatever happened meanwhile.
///
/// Left out: how many duplicates came (a producer that got no answer sends again, and each copy is one); offsets and versions; sums of weights; candidates of products that had to evict some; a product's category
/// (the newest by order of arrival).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// The hash.
    pub exact: [u8; 16],
    /// Users with a history.
    pub users: u64,
    /// Products with a row.
    pub products: u64,
    /// What became of the events.
    pub outcomes: OutcomeCounts,
    /// Highest event time, which the windows are taken as of; `i64::MIN` without events.
    pub as_of_ms: i64,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exact=")?;
        self.exact.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, " users={} products={}", self.users, self.products)
    }
}

/// Adds up the hashes of rows, so that their order does not matter.
#[derive(Default)]
struct Sum(u128);

impl Sum {
    fn add(&mut self, hasher: &Hasher) {
        let hash: [u8; 16] = hasher.finalize().as_bytes()[..16].try_into().expect("a hash is 32 bytes");
        self.0 = self.0.wrapping_add(u128::from_le_bytes(hash));
    }
}

/// Reads the stored state of a generation and works out its digest. Only meaningful when everything is flushed.
///
/// # Errors
/// When the store does not answer, or a row cannot be read.
pub async fn digest(store: &dyn StateStore, generation: u16) -> Result<Digest, StoreError> {
    let (outcomes, repeats, as_of_ms) = totals(store, generation).await?;
    let (mut sum, mut users, mut products) = (Sum::default(), 0, 0);
    let names = Interner::default();

    let mut rows = store.scan(Table::UserHistory, generation).await?;
    while let Some(row) = rows.recv().await {
        let row = row?;
        let mut user = UserRow::decode(&row.state, &names).map_err(|error| unreadable(&row, error))?;
        if user.is_empty() {
            continue;
        }
        users += 1;
        user.version = Version::NONE;
        user.forget_append_time();
        let mut hasher = Hasher::new();
        hasher.update(b"user").update(row.key.as_bytes()).update(&[0]).update(&user.encode(&names));
        sum.add(&hasher);
    }

    let mut rows = store.scan(Table::ProductState, generation).await?;
    while let Some(row) = rows.recv().await {
        let row = row?;
        let product = ProductRow::decode(&row.state, &names).map_err(|error| unreadable(&row, error))?;
        products += 1;
        sum.add(&hash_product(&row.key, &product, &names, as_of_ms));
    }

    let mut hasher = Hasher::new();
    hasher.update(&sum.0.to_le_bytes());
    hasher.update(&outcomes.get(Outcome::Applied).to_le_bytes());
    repeats.counts().for_each(|count| {
        hasher.update(&count.to_le_bytes());
    });
    let exact = hasher.finalize().as_bytes()[..16].try_into().expect("a hash is 32 bytes");
    Ok(Digest { exact, users, products, outcomes, as_of_ms })
}

fn hash_product(id: &str, product: &ProductRow, names: &Interner, as_of_ms: i64) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.update(b"product").update(id.as_bytes()).update(&[0]);
    for total in product.totals {
        hasher.update(&total.to_le_bytes());
    }
    for (index, weight, count) in product.buckets.as_of(as_of_ms) {
        for number in [index, weight, count] {
            hasher.update(&number.to_le_bytes());
        }
    }
    if product.co.candidates().len() < MAX_CANDIDATES {
        let mut pairs: Vec<_> =
            product.co.candidates().map(|pair| (names.name(pair.product), pair.count)).collect();
        pairs.sort_unstable();
        for (other, count) in pairs {
            hasher.update(other.as_bytes()).update(&[0]).update(&count.to_le_bytes());
        }
    }
    hasher
}

/// Sums over the progress rows of all partitions.
async fn totals(
    store: &dyn StateStore,
    generation: u16,
) -> Result<(OutcomeCounts, RepeatTable, i64), StoreError> {
    let mut totals = (OutcomeCounts::default(), RepeatTable::default(), i64::MIN);
    let (shopper, product) = (prefix(StageName::Shopper), prefix(StageName::Product));
    let mut rows = store.scan(Table::Progress, generation).await?;
    while let Some(row) = rows.recv().await {
        let row = row?;
        if row.key.starts_with(&shopper) {
            let progress = ShopperProgress::decode(&row.state).map_err(|error| unreadable(&row, error))?;
            totals.2 = totals.2.max(progress.highest_event_ms);
        } else if row.key.starts_with(&product) {
            let progress = ProductProgress::decode(&row.state).map_err(|error| unreadable(&row, error))?;
            totals.0.merge(&progress.outcomes);
            totals.1.merge(&progress.repeats);
        }
    }
    Ok(totals)
}

/// What the keys of a stage's progress rows begin with.
fn prefix(stage: StageName) -> String {
    progress_key(stage, 0).trim_end_matches('0').to_owned()
}

fn unreadable(row: &Row, error: DecodeError) -> StoreError {
    let reason = format!("the row {:?} cannot be read: {error}", row.key);
    StoreError::Unusable { store: "state store", reason }
}
