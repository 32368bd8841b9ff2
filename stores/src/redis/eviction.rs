//! Whether a server would throw values away when its memory is full.

/// A warning unless the policy is `noeviction`, from the memory section of `INFO`.
pub(super) fn warning(server: &str, memory: &Result<String, String>) -> Option<String> {
    let policy = match memory {
        Ok(memory) => memory.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")).map(str::trim),
        Err(reason) => {
            return Some(format!(
                "{server} does not tell its eviction policy ({reason}): see that it is noeviction"
            ));
        }
    };
    match policy {
        Some("noeviction") => None,
        Some(policy) => Some(format!(
            "{server} evicts values when its memory is full (maxmemory-policy {policy}): set it to noeviction, or \
             recommendations disappear until they are published again"
        )),
        None => Some(format!("{server} does not tell its eviction policy: see that it is noeviction")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(memory: &str) -> Option<String> {
        warning("Redis", &Ok(memory.to_owned()))
    }

    #[test]
    fn only_noeviction_passes() {
        assert_eq!(of("# Memory\r\nused_memory:1\r\nmaxmemory_policy:noeviction\r\n"), None);
        assert!(of("maxmemory_policy:allkeys-lru\r\n").unwrap().contains("allkeys-lru"));
    }

    #[test]
    fn a_policy_that_cannot_be_read_is_a_warning() {
        assert!(of("# Memory\r\n").is_some());
        assert!(warning("Redis", &Err("NOPERM".to_owned())).unwrap().contains("NOPERM"));
    }
}
