//! The wide-column schema as numbered migrations. A migration is never changed once released: a new one is added.

/// Each migration's number and its statements, in order.
pub const MIGRATIONS: &[(u32, &str)] = &[
    (1, include_str!("../cql/0001_state.cql")),
    (2, include_str!("../cql/0002_dead_letters_by_time.cql")),
    (3, include_str!("../cql/0003_known_keys.cql")),
];

/// The single statements of a migration, without comments.
pub fn statements(migration: &str) -> Vec<String> {
    let code: String =
        migration.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n");
    code.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_a_gap_and_hold_statements() {
        for (index, (number, text)) in MIGRATIONS.iter().enumerate() {
            assert_eq!(*number as usize, index + 1);
            assert!(
                statements(text).iter().all(|statement| statement.starts_with("CREATE TABLE IF NOT EXISTS"))
            );
        }
        assert_eq!(statements(MIGRATIONS[0].1).len(), 6);
    }
}
