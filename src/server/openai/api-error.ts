import { type ErrorStatus, HttpError } from "../http-error.ts";

/** Kinds of errors as OpenAI's API calls them. */
const TYPES: { readonly [S in ErrorStatus]: string } = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "invalid_request_error",
  405: "invalid_request_error",
  409: "invalid_request_error",
  413: "invalid_request_error",
  415: "invalid_request_error",
  422: "invalid_request_error",
  429: "rate_limit_error",
  499: "server_error",
  500: "server_error",
  503: "server_error",
  504: "server_error",
};

/** What a status means when nothing more is known. */
const CODES: { readonly [S in ErrorStatus]?: string } = {
  401: "invalid_api_key",
  413: "too_large",
  415: "unsupported_media_type",
  429: "rate_limit_exceeded",
  499: "request_cancelled",
  503: "model_loading",
  504: "timeout",
};

/** A failure of an OpenAI-compatible route: the field it is about, and a code for programs. */
export class ApiError extends HttpError {
  constructor(
    status: ErrorStatus,
    message: string,
    readonly details: { readonly param?: string; readonly code?: string } = {},
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(status, message, headers);
  }
}

export interface ApiErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

/** The error object of OpenAI's API. */
export function apiErrorBody(error: HttpError): ApiErrorBody {
  const { param, code } = error instanceof ApiError ? error.details : {};
  return {
    error: {
      message: error.message,
      type: TYPES[error.status],
      param: param ?? null,
      code: code ?? CODES[error.status] ?? null,
    },
  };
}

/** Whether a path belongs to the OpenAI-compatible API, whose errors have its form. */
export const isApiPath = (path: string): boolean => path === "/v1" || path.startsWith("/v1/");
