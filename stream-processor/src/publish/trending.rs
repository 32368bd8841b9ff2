use crate::context::Context;
use crate::product::{OpenWindows, Product};
use crate::rules::{Rule, is_broken};
use crate::stage::Stage;
use bytes::Bytes;
use recommender::trending::{Demand, Ranking, TrendingIndex, TrendingProduct};
use recommender::{ProductRow, Symbol};
use schemas::Version;
use schemas::names::trending_key;
use schemas::partition::{partition_of, shards_of_partition};
use schemas::published::{Trend, TrendingEntry, TrendingList};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use stores::{StoreError, Table};

/// Categories looked at per round: many categories are spread over several.
const CATEGORIES_PER_ROUND: usize = 64;
/// Rows read again in one request.
const READ_AT_ONCE: usize = 512;
const MINUTE_MS: i64 = 60_000;

/// Keeps one partition's trending lists.
pub(crate) struct TrendingPublisher {
    context: Arc<Context>,
    partition: u32,
    index: TrendingIndex,
    /// Categories to look at, each once.
    due: VecDeque<String>,
    is_due: HashSet<String>,
    /// The entries of each list as last published.
    published: HashMap<(Trend, String), Vec<TrendingEntry>>,
    /// Minute of the last round: when it changes, windows have moved and every category is due.
    minute: i64,
}

impl TrendingPublisher {
    pub(crate) fn new(context: Arc<Context>, partition: u32) -> Self {
        Self {
            context,
            partition,
            index: TrendingIndex::default(),
            due: VecDeque::new(),
            is_due: HashSet::new(),
            published: HashMap::new(),
            minute: i64::MIN,
        }
    }

    /// Reads which products have open windows: all that is scanned when a partition is assigned.
    pub(crate) async fn restore(&mut self, product: &mut Product) -> Result<(), StoreError> {
        let context = Arc::clone(&self.context);
        let partitions = context.activity_partitions;
        for shard in shards_of_partition(self.partition, partitions) {
            let mut rows =
                context.parts.state.scan_shard(Table::OpenWindows, context.config.generation, shard).await?;
            while let Some(row) = rows.recv().await {
                let row = row?;
                if partition_of(row.key.as_bytes(), partitions) != self.partition {
                    continue;
                }
                // A damaged entry costs the product its place until its next event, no more.
                let Ok(open) = OpenWindows::decode(&row.state) else { continue };
                let symbol = context.names.intern(&row.key);
                product.restore_limits(symbol, row.version, open.limits);
                let categories = self.categories_of(&row.key, &open.category);
                self.index.restore(symbol, &categories, open.limits.bounds, open.limits.last_ms);
            }
        }
        Ok(())
    }

    /// What was published is lost: the next round publishes every list again.
    pub(crate) fn forget_published(&mut self) {
        if is_broken(Rule::ChangedTrendsPublished) {
            return;
        }
        self.published.clear();
        self.minute = i64::MIN;
    }

    /// A product's windows changed.
    pub(crate) fn changed(&mut self, product: Symbol, row: &ProductRow, now_ms: i64) {
        self.look_at(product, &row.category, &Demand::of(row, now_ms), now_ms);
    }

    /// Tells the index what a product's windows and categories are. The lists of those that it is in now, and of the one that it
    /// was in before, are due.
    fn look_at(&mut self, product: Symbol, own: &str, demand: &Demand, now_ms: i64) {
        let before = self.index.category_of(product).to_owned();
        let categories = self.categories_of(self.context.names.name(product), own);
        self.index.update(product, &categories, demand, now_ms);
        let before = Some(before).filter(|before| !before.is_empty() && !categories.contains(before));
        categories.into_iter().chain(before).for_each(|category| self.make_due(category));
    }

    /// Windows of products changed whose rows have left memory since.
    pub(crate) async fn changed_and_gone(
        &mut self,
        product: &mut Product,
        products: &[Symbol],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        read_again(&self.context, product, products).await?;
        for &symbol in products {
            if let Some(row) = product.row(symbol) {
                self.changed(symbol, row, now_ms);
            }
        }
        Ok(())
    }

    /// Makes the lists that changed since the last round, as of `now_ms`.
    pub(crate) async fn round(
        &mut self,
        product: &mut Product,
        version: Version,
        now_ms: i64,
    ) -> Result<Vec<(String, Bytes)>, StoreError> {
        if now_ms / MINUTE_MS != self.minute {
            self.minute = now_ms / MINUTE_MS;
            self.index.compact(now_ms);
            let all: Vec<String> = self.index.categories().map(str::to_owned).collect();
            all.into_iter().for_each(|category| self.make_due(category));
        }
        let mut values = Vec::new();
        for trend in Trend::ALL {
            values.extend(self.list(product, trend, None, version, now_ms).await?);
        }
        for _ in 0..CATEGORIES_PER_ROUND {
            let Some(category) = self.due.pop_front() else { break };
            self.is_due.remove(&category);
            for trend in Trend::ALL {
                values.extend(self.list(product, trend, Some(&category), version, now_ms).await?);
            }
        }
        Ok(values)
    }

    /// One list, when it differs from what was published.
    async fn list(
        &mut self,
        product: &mut Product,
        trend: Trend,
        category: Option<&str>,
        version: Version,
        now_ms: i64,
    ) -> Result<Option<(String, Bytes)>, StoreError> {
        let context = Arc::clone(&self.context);
        let best = loop {
            let names = &context.names;
            match self.index.rank(trend, category, now_ms, |a, b| names.name(a).cmp(names.name(b))) {
                Ranking::Exact(best) => break best,
                Ranking::Needs(products) => self.refresh(product, products, now_ms).await?,
            }
        };
        let entries: Vec<TrendingEntry> = best.iter().filter_map(|best| self.entry(product, best)).collect();
        let key = (trend, category.unwrap_or_default().to_owned());
        let before = self.published.get(&key);
        // After a start it is not known what an earlier owner published: also that there is nothing any more has to be said.
        let is_known = match before {
            Some(before) => *before == entries || is_broken(Rule::ChangedTrendsPublished),
            None => entries.is_empty() && is_broken(Rule::EmptyTrendsPublished),
        };
        if is_known {
            return Ok(None);
        }
        let name = trending_key(context.config.generation, trend, &key.1, self.partition);
        self.published.insert(key, entries.clone());
        let list = TrendingList { version, as_of_ms: now_ms, entries };
        Ok(Some((name, Bytes::from(list.encode()))))
    }

    fn entry(&self, product: &Product, best: &TrendingProduct) -> Option<TrendingEntry> {
        let id = self.context.names.name(best.product);
        if !self.context.parts.catalog.is_active(id) {
            return None;
        }
        // A row that has left memory: the index was told its category when it was looked at.
        let own = match product.row(best.product) {
            Some(row) => row.category.as_str(),
            None => self.index.category_of(best.product),
        };
        let category = self.categories_of(id, own).pop().unwrap_or_default();
        Some(TrendingEntry {
            product_id: id.to_owned(),
            score: best.sum.weight,
            count: best.sum.count,
            category,
        })
    }

    /// Replaces bounds by exact sums.
    async fn refresh(
        &mut self,
        product: &mut Product,
        products: Vec<Symbol>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        read_again(&self.context, product, &products).await?;
        for symbol in products {
            let (demand, own) = match product.row(symbol) {
                Some(row) => (Demand::of(row, now_ms), row.category.clone()),
                None => Default::default(),
            };
            self.look_at(symbol, &own, &demand, now_ms);
        }
        Ok(())
    }

    /// The catalog's path where it knows the product, else the category that its events named; the leaf last.
    fn categories_of(&self, id: &str, own: &str) -> Vec<String> {
        match self.context.parts.catalog.lookup(id) {
            Some(product) => product.category_path.iter().map(|category| category.to_string()).collect(),
            None if own.is_empty() => Vec::new(),
            None => vec![own.to_owned()],
        }
    }

    fn make_due(&mut self, category: String) {
        if self.is_due.insert(category.clone()) {
            self.due.push_back(category);
        }
    }
}

/// Reads rows again that have left memory. They are stored: changed rows stay. What an earlier owner stored behind this one's place is
/// not read: this one makes it again, and takes note of its key in its turn ([`crate::known`]).
///
/// # Errors
/// When the state store cannot be asked.
pub(crate) async fn read_again(
    context: &Context,
    product: &mut Product,
    products: &[Symbol],
) -> Result<(), StoreError> {
    let Context { parts, names, config, .. } = context;
    let gone = products.iter().filter(|&&symbol| product.row(symbol).is_none());
    let gone = gone.map(|&symbol| names.name(symbol)).filter(|name| !product.rows().is_new(name));
    let gone: Vec<String> = gone.map(ToOwned::to_owned).collect();
    for keys in gone.chunks(READ_AT_ONCE) {
        let rows = parts.state.get_many(Table::ProductState, config.generation, keys).await?;
        for (key, row) in keys.iter().zip(rows) {
            if let Err(error) = product.admit(key, row) {
                tracing::error!(%error, "a product is left out of the published lists");
            }
        }
    }
    Ok(())
}
