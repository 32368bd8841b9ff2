use super::*;
use stream_processor::generations::GenerationReport;

fn report(generation: u16, live: bool) -> GenerationReport {
    GenerationReport {
        generation,
        live,
        complete: live,
        running: true,
        events: 400,
        events_done: 100,
        lag_records: 350,
        lag_ms: live.then_some(1_500),
        partitions: Vec::new(),
    }
}

fn overview(live: u16, previous: Option<u16>, exist: &[u16]) -> Overview {
    let generations = exist.iter().map(|&generation| report(generation, generation == live)).collect();
    Overview { live, previous, generations }
}

#[test]
fn the_next_generation_is_new_or_one_that_was_begun_and_never_live() {
    assert_eq!(next_generation(&overview(1, None, &[1])), 2);
    assert_eq!(next_generation(&overview(1, None, &[1, 2])), 2, "begun before");
    assert_eq!(next_generation(&overview(2, Some(1), &[1, 2])), 3);
    assert_eq!(next_generation(&overview(1, Some(2), &[1, 2])), 3, "2 was rolled back");
    assert_eq!(next_generation(&overview(7, None, &[])), 8, "nothing was built yet");
}

#[test]
fn the_table_says_which_one_is_live_and_how_far_each_is() {
    let text = table::table(&overview(1, Some(2), &[1, 2]));
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["1", "live", "400", "100", "350", "1.5", "s", "yes", "yes"]);
    assert_eq!(lines[2], ["2", "previous", "400", "100", "350", "?", "no", "yes"]);
    assert!(table::table(&overview(3, None, &[])).contains("no processor has begun"));
    assert!(table::progress(&report(2, false)).contains("100 of 400 events (25 %)"));
}

#[test]
fn a_place_to_begin_is_a_word_an_offset_or_a_time() {
    assert_eq!(parse_from("beginning").unwrap(), From::Beginning);
    assert_eq!(parse_from("120").unwrap(), From::Offset(120));
    assert_eq!(parse_from("1970-01-01T00:00:01Z").unwrap(), From::Time(1_000));
    assert!(parse_from("yesterday").unwrap_err().to_string().contains("`beginning`"));
}

#[tokio::test]
async fn a_folder_of_dev_is_refused_with_what_to_do() {
    let refusal = list(&Target::Data("somewhere".into()), false).await.unwrap_err().to_string();
    assert!(refusal.contains("start `shopsmart dev` on a new folder"), "{refusal}");
}
