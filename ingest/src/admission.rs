//! What comes in, and what of it may go into the log.
//!
//! Pure: no I/O, no clock, no randomness. The time is handed in, so every rule can be tested at every moment.

mod code;
mod event;
mod fields;
mod ids;
mod object;
mod product;
mod time;

pub use code::Code;
pub use event::{Admitted, Circumstances, admit_event};
pub(crate) use fields::malformed;
pub(crate) use ids::path_id;
pub use product::admit_product;
pub(crate) use time::batch_sent_at;

use std::borrow::Cow;

/// The largest event or product, in bytes of JSON.
pub const MAX_ITEM_BYTES: usize = 64 * 1024;

/// Why something was not admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Stable, for programs.
    pub code: Code,
    /// For people: what is wrong with this very item.
    pub detail: Cow<'static, str>,
    /// The item's own id (event or product), where it could be read.
    pub id: Option<String>,
}

impl Rejection {
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), id: None }
    }

    /// With the id of the item that it is about, where it has one.
    fn about(self, id: String) -> Self {
        Self { id: (!id.is_empty()).then_some(id), ..self }
    }
}
