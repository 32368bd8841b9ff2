// What the services answer, as far as the page reads it, and how it asks them.

export type StageName = "shopper" | "product";

export interface Partition {
  stage: StageName;
  partition: number;
  owner: string;
  lag_records: number;
  lag_ms: number;
  processed: number;
  visible: number;
  stored: number;
  log_end: number;
  stream_time_ms: number | null;
  last_progress_ms: number | null;
  restarts: number;
  running: boolean;
  idle: boolean;
  stalled: boolean;
}

/** A partition that another copy owns, as its marker in the serving store tells. */
export interface OtherPartition {
  stage: StageName;
  partition: number;
  lag_records: number;
  lag_ms: number;
  stream_time_ms: number | null;
  reported_ms_ago: number;
}

export interface Stage {
  stage: StageName;
  partitions: number;
  arriving_per_second: number;
  records_per_second: number;
  lag_records: number;
  lag_ms: number;
  catch_up_ms: number | null;
  freshness_ms: number | null;
}

export interface Outcomes {
  applied: number;
  duplicate: number;
  too_late: number;
  dead_lettered: number;
  forgotten: number;
}

export interface Status {
  at_ms: number;
  copy: string;
  generation: number;
  stages: Stage[];
  outcomes: Outcomes;
  partitions: Partition[];
  others: OtherPartition[];
}

/** What the charts show of one moment; one value for each stage. */
export interface Point {
  at_ms: number;
  records_per_second: number[];
  lag_ms: number[];
  freshness_ms: (number | null)[];
}

export interface Freshness {
  as_of: string | null;
  lag_ms: number | null;
  degraded: boolean;
  reason?: string;
}

export interface Trending {
  items: { product_id: string; score: number; rank: number; count: number }[];
  freshness: Freshness;
}

export interface History {
  items: { product_id: string; event_type: string; timestamp: string }[];
  freshness: Freshness;
}

export interface Recommendations {
  strategy: string;
  items: {
    product_id: string;
    score: number;
    rank: number;
    source: string;
    reason?: { code: string; text: string };
  }[];
  freshness: Freshness;
}

export interface Similar {
  items: { product_id: string; score: number; rank: number; count: number }[];
}

export interface Product {
  product_id: string;
  category: string | null;
  active: boolean | null;
  totals: Record<string, number>;
  windows: { window: string; score: number; count: number }[];
}

export interface DeadLetter {
  partition: number;
  offset: number;
  reason: string;
  append_time_ms: number;
  key: string;
  value: string;
  /** Whether only the beginning of key or value is here. */
  shortened: boolean;
  event: Record<string, unknown> | null;
  redriven_to: string | null;
  /** Where the log still has it; only where one letter is asked for. */
  traceparent?: string;
}

export interface DeadLetters {
  items: DeadLetter[];
  /** Where the older ones begin; null where there are none. */
  next: string | null;
}

export interface Redriven {
  items: { partition: number; offset: number; result: string; detail?: string }[];
}

export interface Config {
  /** Where serving answers; empty = on the port that this page comes from. */
  serving_url: string;
  keys_required: boolean;
}

/** An answer other than 2xx, with what the service said. */
export class Refused extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const KEY = "shopsmart-ops-key";

/** The API key; kept for this tab only. */
export const key = {
  get: (): string => sessionStorage.getItem(KEY) ?? "",
  set: (value: string): void =>
    value === "" ? sessionStorage.removeItem(KEY) : sessionStorage.setItem(KEY, value),
};

/** The page is at `…/ops/`, the endpoints beside that. */
const here = new URL("..", document.baseURI);
let servingUrl = here;

/** Reads where the services are; to be called once, before anything else is asked. */
export async function configure(): Promise<Config> {
  const config = await processor<Config>("ops/config.json");
  if (config.serving_url !== "") {
    servingUrl = new URL(config.serving_url.endsWith("/") ? config.serving_url : `${config.serving_url}/`);
  }
  return config;
}

export function processor<T>(path: string, init?: RequestInit): Promise<T> {
  return ask(new URL(path, here), init);
}

export function serving<T>(path: string): Promise<T> {
  return ask(new URL(path, servingUrl));
}

/** Opens a stream of the processor. */
export async function open(path: string, signal: AbortSignal): Promise<Response> {
  const response = await fetch(new URL(path, here), { headers: headers(), signal });
  if (!response.ok) throw await refused(response);
  return response;
}

async function ask<T>(url: URL, init: RequestInit = {}): Promise<T> {
  const response = await fetch(url, { ...init, headers: { ...headers(), ...init.headers } });
  if (!response.ok) throw await refused(response);
  return (await response.json()) as T;
}

function headers(): Record<string, string> {
  const given = key.get();
  return given === "" ? {} : { authorization: `Bearer ${given}` };
}

async function refused(response: Response): Promise<Refused> {
  let detail = response.statusText;
  try {
    const problem = (await response.json()) as { detail?: string };
    detail = problem.detail ?? detail;
  } catch {
    // Something between here and the service answered: its status has to do.
  }
  return new Refused(response.status, detail);
}
