//! The catalog in memory: which products are active and what categories they are in.
//!
//! [`Catalog`] is a read-mostly map; [`follow`] keeps it equal to the compacted topic `products`. It knows nothing of who
//! asks: the processor uses it when it publishes lists, serving when it filters answers. What it cannot say anything about
//! (a product that was never sent) is treated as active, so that a shop without a catalog gets recommendations too.

mod follow;
mod intern;
mod products;

pub use follow::follow;
pub use products::{Catalog, Entry};
