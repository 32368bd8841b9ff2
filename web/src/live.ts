// The processor's live figures, by server-sent events over fetch: EventSource cannot send a key.

import { useEffect, useState } from "react";
import { open, Refused, type Point, type Status } from "./api";

export interface Live {
  state: "connecting" | "live" | "lost" | "refused";
  /** Why it was lost or refused. */
  problem: string;
  status: Status | null;
  history: Point[];
}

const POINTS = 600;
const AGAIN_MS = 1_000;
/** The server sends a sign of life twice a second: after this long without one the connection is dead. */
const SILENCE_MS = 5_000;

export function useLive(key: string): Live {
  const [live, setLive] = useState<Live>({ state: "connecting", problem: "", status: null, history: [] });

  useEffect(() => {
    const stop = new AbortController();
    void follow(stop.signal, (change) => {
      if (!stop.signal.aborted) setLive(change);
    });
    return () => stop.abort();
  }, [key]);

  return live;
}

async function follow(stop: AbortSignal, set: (change: (live: Live) => Live) => void): Promise<void> {
  while (!stop.aborted) {
    try {
      await once(stop, (event, data) => set((live) => take(live, event, data)));
      set((live) => ({ ...live, state: "lost", problem: "the connection ended" }));
    } catch (error) {
      const refused = error instanceof Refused && (error.status === 401 || error.status === 403);
      const problem = error instanceof Error ? error.message : String(error);
      set((live) => ({ ...live, state: refused ? "refused" : "lost", problem }));
      // Another key starts this anew.
      if (refused) return;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

function take(live: Live, event: string, data: string): Live {
  if (event === "snapshot") {
    const { status, history } = JSON.parse(data) as { status: Status; history: Point[] };
    return { state: "live", problem: "", status, history };
  }
  if (event !== "update") return live;
  const { status, point } = JSON.parse(data) as { status: Status; point: Point };
  return { state: "live", problem: "", status, history: [...live.history.slice(1 - POINTS), point] };
}

/** One connection, until it ends. */
async function once(stop: AbortSignal, take: (event: string, data: string) => void): Promise<void> {
  const silence = new AbortController();
  const signal = AbortSignal.any([stop, silence.signal]);
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const response = await open("admin/live", signal);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(new Error("nothing was heard for a while")), SILENCE_MS);
      text += value;
      const blocks = text.split("\n\n");
      text = blocks.pop() ?? "";
      for (const block of blocks) {
        const field = (name: string): string =>
          block
            .split("\n")
            .filter((line) => line.startsWith(`${name}:`))
            .map((line) => line.slice(name.length + 1).trimStart())
            .join("\n");
        take(field("event"), field("data"));
      }
    }
  } finally {
    clearTimeout(timer);
  }
}
