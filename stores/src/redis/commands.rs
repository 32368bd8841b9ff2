//! The commands both kinds of server get.

use ::redis::{Cmd, Pipeline, RedisResult, Script, ServerErrorKind, Value, cmd};
use bytes::Bytes;
use std::sync::LazyLock;

/// Commands in a pipeline: enough to hide the round trip, few enough not to hold up others.
const PIPELINE_COMMANDS: usize = 512;
/// Bytes of values in a pipeline; a single larger value goes alone.
const PIPELINE_BYTES: usize = 1024 * 1024;

/// Sets a value unless the stored one has a higher version. Bytes 2 to 9 hold it, big-endian; versions are below 2^53, so
/// they are exact as Lua's numbers. Not compared as strings: Lua orders these by the server's locale.
const GUARDED_SET: &str = "\
local stored = redis.call('GETRANGE', KEYS[1], 1, 8)
if #stored == 8 and struct.unpack('>I8', stored) > struct.unpack('>I8', ARGV[1], 2) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1";

static GUARDED_SET_HASH: LazyLock<String> = LazyLock::new(|| Script::new(GUARDED_SET).get_hash().to_owned());

/// Cuts the values into what one pipeline carries.
pub(super) fn chunks(values: &[(String, Bytes)]) -> impl Iterator<Item = &[(String, Bytes)]> {
    let mut rest = values;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(PIPELINE_COMMANDS).take_while(|(_, value)| {
            bytes += value.len();
            bytes <= PIPELINE_BYTES
        });
        let (chunk, later) = rest.split_at(fits.count().max(1).min(rest.len()));
        rest = later;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Guarded sets by the script's hash. With `load`, the script goes ahead of them on the same connection.
pub(super) fn guarded_sets<'a>(values: impl Iterator<Item = &'a (String, Bytes)>, load: bool) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(values.size_hint().0 + usize::from(load));
    if load {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(GUARDED_SET);
    }
    for (key, value) in values {
        pipeline.cmd("EVALSHA").arg(GUARDED_SET_HASH.as_str()).arg(1).arg(key).arg(value.as_ref());
    }
    pipeline
}

/// One guarded set that brings the script along: for the odd command that goes its own way.
pub(super) fn guarded_set(key: &str, value: &Bytes) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(GUARDED_SET).arg(1).arg(key).arg(value.as_ref());
    command
}

/// What a server answered to guarded sets.
pub(super) enum Sets {
    /// All were done, or dropped as they should be.
    Done,
    /// The server does not know the script: it was restarted, or promoted, or its scripts were flushed.
    ScriptMissing,
}

/// Looks through the answers to [`guarded_sets`].
pub(super) fn sets(answers: Vec<Value>) -> RedisResult<Sets> {
    let missing = |answer: &Value| matches!(answer, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript));
    if answers.iter().any(missing) {
        return Ok(Sets::ScriptMissing);
    }
    answers.into_iter().try_for_each(|answer| answer.extract_error().map(drop))?;
    Ok(Sets::Done)
}

/// Looks through the answers to [`guarded_sets`] that were sent with the script.
pub(super) fn sets_with_script(mut answers: Vec<Value>) -> RedisResult<()> {
    if !answers.is_empty() {
        answers.remove(0).extract_error()?;
    }
    answers.into_iter().try_for_each(|answer| answer.extract_error().map(drop))
}

/// The liveness of a server and, separately, its memory settings: the second may be forbidden.
pub(super) fn check() -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.cmd("PING").cmd("INFO").arg("memory");
    pipeline
}

/// What [`check`] answered: the memory section, or why it is not to be had.
pub(super) fn checked(answers: Vec<Value>) -> RedisResult<Result<String, String>> {
    let mut answers = answers.into_iter();
    if let Some(ping) = answers.next() {
        ping.extract_error()?;
    }
    let memory = answers.next().unwrap_or(Value::Nil).extract_error();
    Ok(memory.and_then(|value| Ok(::redis::from_redis_value(value)?)).map_err(|error| error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(sizes: impl IntoIterator<Item = usize>) -> Vec<(String, Bytes)> {
        sizes.into_iter().map(|size| (String::new(), Bytes::from(vec![0; size]))).collect()
    }

    fn cut(sizes: impl IntoIterator<Item = usize>) -> Vec<usize> {
        chunks(&values(sizes)).map(<[_]>::len).collect()
    }

    #[test]
    fn a_pipeline_has_a_bounded_number_of_commands() {
        assert_eq!(cut(vec![9; 1100]), [512, 512, 76]);
        assert_eq!(cut([]), [] as [usize; 0]);
    }

    #[test]
    fn a_pipeline_has_a_bounded_size_and_a_large_value_goes_alone() {
        let large = PIPELINE_BYTES + 1;
        assert_eq!(cut([large, 9, 9, large, PIPELINE_BYTES, 9]), [1, 2, 1, 1, 1]);
    }
}
