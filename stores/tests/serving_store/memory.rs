use std::sync::Arc;
use stores::ServingStore;
use stores::memory::MemoryServingStore;

async fn open() -> Option<Arc<dyn ServingStore>> {
    Some(Arc::new(MemoryServingStore::new()))
}

keeps_every_promise!();
keeps_the_promises_of_watching!();
