//! What operators have: the page in a browser, dead letters and their way back, metrics and alerts.

mod alerts;
mod dead_letters;
mod lag;
mod page;
mod support;
