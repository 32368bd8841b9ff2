use std::collections::HashSet;
use std::sync::Arc;

type Set<T> = HashSet<T, foldhash::fast::RandomState>;

/// Category paths, each kept once however many products share it.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    names: Set<Arc<str>>,
    paths: Set<Arc<[Arc<str>]>>,
    sweep_at: usize,
}

/// Below this many paths a sweep is not worth its time.
const SMALL: usize = 1024;

impl Interner {
    /// The shared copy of `path`.
    pub(crate) fn path(&mut self, path: &[String]) -> Arc<[Arc<str>]> {
        if self.paths.len() >= self.sweep_at.max(SMALL) {
            self.sweep();
        }
        let path: Vec<Arc<str>> = path.iter().map(|name| self.name(name)).collect();
        if let Some(known) = self.paths.get(path.as_slice()) {
            return Arc::clone(known);
        }
        let path: Arc<[Arc<str>]> = path.into();
        self.paths.insert(Arc::clone(&path));
        path
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.names.insert(Arc::clone(&name));
        name
    }

    /// Lets go of what no product uses any more, so that renamed categories do not pile up.
    fn sweep(&mut self) {
        self.paths.retain(|path| Arc::strong_count(path) > 1);
        self.names.retain(|name| Arc::strong_count(name) > 1);
        self.sweep_at = self.paths.len() * 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn products_of_one_category_share_its_path() {
        let mut interner = Interner::default();
        let first = interner.path(&path(&["home", "kettles"]));
        let second = interner.path(&path(&["home", "kettles"]));
        let sibling = interner.path(&path(&["home", "pans"]));
        assert!(Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&first[0], &sibling[0]));
    }

    #[test]
    fn unused_paths_do_not_pile_up() {
        let mut interner = Interner::default();
        let kept = interner.path(&path(&["kept"]));
        for renamed in 0..10 * SMALL {
            interner.path(&path(&[&renamed.to_string()]));
        }
        assert!(interner.paths.len() <= SMALL, "{}", interner.paths.len());
        assert!(Arc::ptr_eq(&kept, &interner.path(&path(&["kept"]))));
    }
}
