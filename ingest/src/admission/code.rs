//! Every reason for which a request's content is refused.

/// Defines the enum and its table in one place, so that neither can lack what the other has.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $status:literal, $title:literal;)+) => {
        /// A reason for refusing content. Names never change their meaning; each has an example in `schemas/examples`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name in answers.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The HTTP status when the whole request is refused for it.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// What it means in general, in a few words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }
        }
    };
}

codes! {
    // The request.
    /// The content type is not one that this address reads.
    UnsupportedMediaType = "unsupported_media_type", 415, "Content type not supported";
    /// The content encoding is neither gzip nor zstd.
    UnsupportedEncoding = "unsupported_encoding", 415, "Content encoding not supported";
    /// The body is not what its content encoding says.
    MalformedEncoding = "malformed_encoding", 400, "Body cannot be decompressed";
    /// The body is too large, as sent or decompressed.
    BodyTooLarge = "body_too_large", 413, "Body too large";
    /// The body, or a line of it, is not JSON.
    MalformedJson = "malformed_json", 400, "Not JSON";
    /// The body is JSON, but neither a list nor an object with one.
    NotABatch = "not_a_batch", 422, "Not a batch";
    /// More items than a batch may have.
    TooManyItems = "too_many_items", 413, "Too many items in a batch";
    /// `X-Import` is neither `true` nor `false`.
    InvalidImportHeader = "invalid_import_header", 400, "X-Import not understood";

    // An event or product as a whole.
    /// JSON, but not an object.
    NotAnObject = "not_an_object", 422, "Not an object";
    /// A field stands in it twice.
    DuplicateField = "duplicate_field", 422, "Field given twice";
    /// Larger than one event or product may be.
    TooLarge = "too_large", 413, "Event or product too large";

    // An event's fields.
    /// There is no `event_type`.
    MissingEventType = "missing_event_type", 422, "Event type missing";
    /// `event_type` is not one of those known.
    UnknownEventType = "unknown_event_type", 422, "Event type unknown";
    /// Neither `user_id` nor `anonymous_id` is given.
    MissingUser = "missing_user", 422, "User missing";
    /// `user_id` is not an id.
    InvalidUserId = "invalid_user_id", 422, "User id invalid";
    /// `anonymous_id` is not an id.
    InvalidAnonymousId = "invalid_anonymous_id", 422, "Anonymous id invalid";
    /// The user's id is what programs write when they do not know the user: it would merge strangers into one.
    JunkUserId = "junk_user_id", 422, "User id stands for nobody";
    /// There is no `product_id`.
    MissingProductId = "missing_product_id", 422, "Product id missing";
    /// `product_id` is not an id.
    InvalidProductId = "invalid_product_id", 422, "Product id invalid";
    /// `event_id` is not an id.
    InvalidEventId = "invalid_event_id", 422, "Event id invalid";
    /// `session_id` is not an id.
    InvalidSessionId = "invalid_session_id", 422, "Session id invalid";
    /// `category_id` is not an id.
    InvalidCategoryId = "invalid_category_id", 422, "Category id invalid";
    /// `order_id` is not an id.
    InvalidOrderId = "invalid_order_id", 422, "Order id invalid";
    /// `recommendation_id` is not an id.
    InvalidRecommendationId = "invalid_recommendation_id", 422, "Recommendation id invalid";
    /// `quantity` is not a whole number of at least 1.
    InvalidQuantity = "invalid_quantity", 422, "Quantity invalid";
    /// `price` is not a number of at least 0.
    InvalidPrice = "invalid_price", 422, "Price invalid";
    /// `currency` is not a three-letter code.
    InvalidCurrency = "invalid_currency", 422, "Currency invalid";
    /// `metadata` is not an object, or nested too deeply.
    InvalidMetadata = "invalid_metadata", 422, "Metadata invalid";
    /// `timestamp` is not a time.
    InvalidTimestamp = "invalid_timestamp", 422, "Timestamp invalid";
    /// `sent_at` is not a time.
    InvalidSentAt = "invalid_sent_at", 422, "Time of sending invalid";
    /// The event is over 30 days old and not part of an import.
    TooOld = "too_old", 422, "Event too old";

    // A product's fields.
    /// `product_id` differs from the one in the address.
    ProductIdMismatch = "product_id_mismatch", 422, "Product ids differ";
    /// `name` is not a text of at most 1,024 bytes.
    InvalidName = "invalid_name", 422, "Name invalid";
    /// `category_path` is not a list of at most 16 category ids.
    InvalidCategoryPath = "invalid_category_path", 422, "Category path invalid";
    /// `image_url` is not an http(s) address or a path.
    InvalidImageUrl = "invalid_image_url", 422, "Image address invalid";
    /// `active` is not a boolean.
    InvalidActive = "invalid_active", 422, "Active flag invalid";
    /// `attributes` is not an object, or nested too deeply.
    InvalidAttributes = "invalid_attributes", 422, "Attributes invalid";
}
