//! `DELETE /users/{id}`: forgetting a user.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use bytes::Bytes;
use prost::Message;
use schemas::proto::{EventRecord, ForgetUser, event_record};
use schemas::user::{User, UserKey};
use service_runtime::Problem;
use service_runtime::http::ProblemBody;
use service_runtime::keys::Admin;
use tokio::time::Instant;

use super::answers::{self, UserForgotten};
use super::app::App;
use super::call::{Call, PathId};
use super::params;
use crate::admission::{self, Code};
use crate::publisher::Company;

/// Forget a user.
///
/// A record in the log orders to forget what is known of the user so far; the answer's position is the receipt. Events that
/// come later start a new history.
#[utoipa::path(
    delete, path = "/users/{id}", tag = "users", operation_id = "deleteUser",
    params(
        ("id" = String, Path, description = "The user's id"),
        ("anonymous" = Option<bool>, Query, description = "Whether it is an `anonymous_id`"),
    ),
    responses(
        (status = 202, description = "The log holds the order", body = UserForgotten),
        (status = "4XX", description = "Refused; `code` says why. Only 429 is worth sending again", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The log did not acknowledge; send the same again after `Retry-After` seconds", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("bearer" = []), ("api_key" = [])),
)]
pub(super) async fn delete_user(
    State(app): State<App>,
    call: Call<Admin>,
    PathId(user_id): PathId,
    uri: Uri,
) -> Result<(StatusCode, HeaderMap, Json<UserForgotten>), Problem> {
    let limits = call.take(&app, 1)?;
    let anonymous = params::anonymous(&uri)?;
    let user_id = admission::path_id(user_id, Code::InvalidUserId, "user_id").map_err(answers::refused)?;
    let user = if anonymous { User::Anonymous(&user_id) } else { User::Known(&user_id) };
    let key = Bytes::copy_from_slice(UserKey::of(user).as_str().as_bytes());
    let received_at_ms = app.clock.now_ms();
    let record = event_record::Record::ForgetUser(ForgetUser { received_at_ms });
    let value = EventRecord { record: Some(record) }.encode_to_vec().into();

    let unpublished = |reason| answers::unpublished(&reason);
    let handed = app.publisher.hand_over(&app.events, key, value, Company::Alone).map_err(unpublished)?;
    let position = app
        .publisher
        .acknowledged(handed, app.publisher.deadline(Instant::now()), &call.connection)
        .await
        .map_err(unpublished)?;
    let received_at = answers::rfc_3339(received_at_ms);
    let answer =
        UserForgotten { status: answers::ACCEPTED, user_id, received_at, position: position.to_string() };
    Ok((StatusCode::ACCEPTED, limits, Json(answer)))
}
