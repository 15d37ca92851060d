// service.js: asks the service, with the key if there is one; what it refuses becomes a ServiceError in its own words.

let key = ""; // in memory only: gone with the tab

export class ServiceError extends Error {
  /** `status` is 0 when nothing answered; `wait` is Retry-After in seconds or null, `id` the request's or null. */
  constructor(message, status, wait = null, id = null) {
    super(message);
    Object.assign(this, { status, wait, id });
  }
}

export function useKey(text) {
  key = text;
}

/** The answer to a request; throws ServiceError, or AbortError when `options.signal` said so. */
export async function request(path, options = {}) {
  const headers = { ...options.headers, ...(key && { authorization: `Bearer ${key}` }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError("The service does not answer: is it running, is the network up?", 0);
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => ({})); // a proxy in between may answer with a page
  throw new ServiceError(
    said.error ?? `The service answers ${response.status} ${response.statusText}`,
    response.status,
    Number(response.headers.get("retry-after")) || null,
    said.request_id ?? null,
  );
}

/** The same as an object. */
export async function ask(path, options) {
  return (await request(path, options)).json();
}
