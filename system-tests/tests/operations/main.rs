//! What operators have: the page in a browser, dead letters and their way back, metrics and alerts.

mod alerts;
mod bars;
mod dead_letters;
mod generations;
mod lag;
mod page;
mod support;
