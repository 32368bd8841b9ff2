//! Numbers for ids, so that rows in memory are small and comparisons cheap.

use dashmap::DashMap;
use foldhash::fast::RandomState;
use smol_str::SmolStr;

/// Stands for an id within one process; never leaves it, and its order means nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(pub u32);

/// Gives each distinct id a symbol. Only grows: its size is that of the catalog. Safe to share between threads; going from a
/// symbol to its id takes no lock.
#[derive(Debug, Default)]
pub struct Interner {
    // Ids of up to 23 bytes lie in the map and in the list themselves: one look less at far-away memory.
    symbols: DashMap<SmolStr, Symbol, RandomState>,
    names: boxcar::Vec<SmolStr>,
}

impl Interner {
    /// The symbol of `id`, made on first sight.
    pub fn intern(&self, id: &str) -> Symbol {
        if let Some(symbol) = self.symbols.get(id) {
            return *symbol;
        }
        let id = SmolStr::new(id);
        // The entry keeps its shard locked, so that two threads never number the same id.
        *self
            .symbols
            .entry(id.clone())
            .or_insert_with(|| Symbol(u32::try_from(self.names.push(id)).expect("fewer than 2^32 products")))
    }

    /// The symbol of `id` where it has one.
    pub fn find(&self, id: &str) -> Option<Symbol> {
        self.symbols.get(id).map(|symbol| *symbol)
    }

    /// The id of a symbol of this interner.
    ///
    /// # Panics
    /// When the symbol is of another interner.
    pub fn name(&self, symbol: Symbol) -> &str {
        self.id(symbol)
    }

    /// The id of a symbol of this interner, cheap to copy.
    ///
    /// # Panics
    /// When the symbol is of another interner.
    pub fn id(&self, symbol: Symbol) -> &SmolStr {
        &self.names[symbol.0 as usize]
    }

    /// How many ids have a symbol.
    pub fn len(&self) -> usize {
        self.names.count()
    }

    /// Whether no id has one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_gets_the_same_symbol_for_an_id() {
        let interner = Interner::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for id in 0..1000 {
                        let symbol = interner.intern(&id.to_string());
                        assert_eq!(interner.name(symbol), id.to_string());
                    }
                });
            }
        });
        assert_eq!(interner.len(), 1000);
        assert_eq!(interner.find("7"), Some(interner.intern("7")));
        assert_eq!(interner.find("none"), None);
    }
}
