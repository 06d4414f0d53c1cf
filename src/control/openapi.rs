//! The OpenAPI document, made from the table of routes and the types of the answers.

use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathsBuilder};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ComponentsBuilder, ObjectBuilder, Type};
use utoipa::openapi::{
    Content, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, Required, ResponseBuilder, Schema,
};
use utoipa::{PartialSchema, ToSchema};

use super::answers::{ProblemKind, ProblemReport};
use super::routes::{ROUTES, Route, What};
use crate::daemon::{Done, EventsReport, FailsafeReport, ReloadReport, StateReport, Status, TaskStatus};

/// The document.
#[must_use]
pub fn document() -> OpenApi {
    let info = InfoBuilder::new()
        .title("MultiModule")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("HTTP and JSON on STATE_DIR/control.sock, for the daemon's user and root."));
    let paths = ROUTES.iter().fold(PathsBuilder::new(), |paths, route| {
        paths.path(route.path, PathItem::new(method(route), operation(route)))
    });
    OpenApiBuilder::new().info(info.build()).paths(paths.build()).components(Some(components().build())).build()
}

fn components() -> ComponentsBuilder {
    let mut schemas: Vec<(String, RefOr<Schema>)> = Vec::new();
    add::<Status>(&mut schemas);
    add::<TaskStatus>(&mut schemas);
    add::<ReloadReport>(&mut schemas);
    add::<FailsafeReport>(&mut schemas);
    add::<EventsReport>(&mut schemas);
    add::<StateReport>(&mut schemas);
    add::<Done>(&mut schemas);
    add::<ProblemReport>(&mut schemas);
    ComponentsBuilder::new().schemas_from_iter(schemas)
}

/// A type with all that it is made of.
fn add<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

fn method(route: &Route) -> HttpMethod {
    match route.method {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn operation(route: &Route) -> OperationBuilder {
    let mut operation = OperationBuilder::new().summary(Some(route.summary)).operation_id(Some(id(route.what)));
    if route.path.contains("{task}") {
        operation = operation.parameter(parameter("task", ParameterIn::Path, Type::String));
    }
    for (name, kind) in query(route.what) {
        operation = operation.parameter(parameter(name, ParameterIn::Query, kind.clone()));
    }
    if route.what == What::SetState {
        let text = Content::new(Some(ObjectBuilder::new().schema_type(Type::String)));
        let body = RequestBodyBuilder::new().content("text/plain", text).required(Some(Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    operation = operation.response("200", success(route.what));
    let mut codes: Vec<_> = ProblemKind::ALL.iter().map(|kind| kind.code()).collect();
    codes.sort();
    codes.dedup();
    codes.into_iter().fold(operation, |operation, code| {
        let reason = code.canonical_reason().unwrap_or_default();
        let problem = ResponseBuilder::new().description(reason);
        operation.response(code.as_str(), problem.content("application/json", of::<ProblemReport>()))
    })
}

/// The parameters behind the `?`, as `routes` reads them.
pub(super) fn query(what: What) -> &'static [(&'static str, Type)] {
    match what {
        What::Migrate => &[("to", Type::String)],
        What::Reload => &[("dry_run", Type::Boolean)],
        What::Events => &[("after", Type::Integer), ("task", Type::String)],
        What::Log | What::TaskLog => &[("lines", Type::Integer), ("follow", Type::Boolean)],
        _ => &[],
    }
}

fn parameter(name: &str, place: ParameterIn, kind: Type) -> Parameter {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    let schema = ObjectBuilder::new().schema_type(kind);
    ParameterBuilder::new().name(name).parameter_in(place).required(required).schema(Some(schema)).build()
}

fn success(what: What) -> ResponseBuilder {
    let response = ResponseBuilder::new();
    let json = |content| ("application/json", content);
    let (kind, content) = match what {
        What::Document => json(Content::new(Some(ObjectBuilder::new().schema_type(Type::Object)))),
        What::Status => json(of::<Status>()),
        What::TaskStatus => json(of::<TaskStatus>()),
        What::Reload => json(of::<ReloadReport>()),
        What::Failsafes => json(Content::new(Some(Vec::<FailsafeReport>::schema()))),
        What::Events => json(of::<EventsReport>()),
        What::ShowState => json(of::<StateReport>()),
        What::Log | What::TaskLog => ("text/plain", Content::new(Some(ObjectBuilder::new().schema_type(Type::String)))),
        What::Start
        | What::Stop
        | What::Restart
        | What::Migrate
        | What::StopAll
        | What::ClearFailsafe
        | What::SetState => json(of::<Done>()),
    };
    response.description("Done.").content(kind, content)
}

fn of<T: ToSchema>() -> Content {
    Content::new(Some(Ref::from_schema_name(T::name())))
}

/// `task_status`: the name of an operation, for programs that are made from the document.
fn id(what: What) -> String {
    let mut id = String::new();
    for character in format!("{what:?}").chars() {
        if character.is_uppercase() && !id.is_empty() {
            id.push('_');
        }
        id.extend(character.to_lowercase());
    }
    id
}
