//! The promises across services: the same events give the same state, on embedded parts and on real servers, whatever is
//! killed on the way.

mod embedded;
mod real;
mod recreated;
