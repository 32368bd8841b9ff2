import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { processor, type DeadLetter, type DeadLetters as Answer, type Redriven } from "../api";
import { time, words } from "../format";
import { Panel, Problem } from "../panel";

/** Letters that one more step shows. */
const PAGE = 20;

export function DeadLetters() {
  const queries = useQueryClient();
  const letters = useInfiniteQuery({
    queryKey: ["dead-letters"],
    queryFn: ({ pageParam }) =>
      processor<Answer>(`admin/dead-letters?limit=${PAGE}${pageParam === null ? "" : `&before=${pageParam}`}`),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
    // Each look asks for all pages that are shown.
    refetchInterval: 15_000,
  });
  const shown = letters.data?.pages.flatMap(({ items }) => items);
  const redrive = useMutation({
    mutationFn: ({ partition, offset }: DeadLetter) =>
      processor<Redriven>("admin/dead-letters/redrive", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ partition, offset }),
      }),
    onSettled: () => queries.invalidateQueries({ queryKey: ["dead-letters"] }),
  });
  const said = redrive.data?.items[0];
  return (
    <Panel title="Dead letters" wide>
      <p className="note">
        Records that could not be applied, as they were. Redriving appends a record to the log again, for when what was
        wrong has been mended; the letter stays.
      </p>
      <Problem error={letters.error ?? redrive.error} />
      <p role="status" className="note">
        {said && `Partition ${said.partition}, offset ${said.offset}: ${words(said.result)}${said.detail ? `, ${said.detail}` : ""}.`}
      </p>
      {shown?.length === 0 && <p className="note">There are none.</p>}
      <ul className="letters">
        {shown?.map((letter) => (
          <Letter
            key={`${letter.partition}-${letter.offset}`}
            letter={letter}
            busy={redrive.isPending}
            redrive={() => redrive.mutate(letter)}
          />
        ))}
      </ul>
      {letters.hasNextPage && (
        <button type="button" disabled={letters.isFetchingNextPage} onClick={() => letters.fetchNextPage()}>
          Older letters
        </button>
      )}
    </Panel>
  );
}

function Letter({ letter, busy, redrive }: { letter: DeadLetter; busy: boolean; redrive: () => void }) {
  const place = `partition ${letter.partition}, offset ${letter.offset}`;
  return (
    <li>
      <div className="title">
        <h3>
          {words(letter.reason)} <span className="note">{place}</span>
        </h3>
        {letter.redriven_to === null ? (
          <button type="button" disabled={busy} onClick={redrive} aria-label={`Redrive ${place}`}>
            Redrive
          </button>
        ) : (
          <span className="note">redriven</span>
        )}
      </div>
      <p className="note">
        {time(letter.append_time_ms)}, key <code>{letter.key === "" ? "(none)" : letter.key}</code> <Trace letter={letter} place={place} />
      </p>
      {letter.shortened && <p className="note">Only its beginning: `shopsmart dead-letters show` prints it whole.</p>}
      <pre tabIndex={0} aria-label={`Payload of ${place}`}>
        {letter.event ? JSON.stringify(letter.event, null, 2) : letter.value === "" ? "(empty)" : letter.value}
      </pre>
    </li>
  );
}

/** The id of the record's trace. Asked for one by one: each takes a read of the log. */
function Trace({ letter: { partition, offset }, place }: { letter: DeadLetter; place: string }) {
  const [asked, setAsked] = useState(false);
  const whole = useQuery({
    queryKey: ["dead-letter", partition, offset],
    queryFn: () => processor<DeadLetter>(`admin/dead-letters/${partition}/${offset}`),
    enabled: asked,
    staleTime: Infinity,
  });
  const id = whole.data?.traceparent?.split("-")[1];
  return (
    <>
      <button type="button" onClick={() => setAsked(true)} aria-label={`Trace of ${place}`}>
        Trace
      </button>{" "}
      <span role="status">
        {whole.error && `not to be had: ${whole.error.message}`}
        {whole.data && (id === undefined ? "none" : <code>{id}</code>)}
      </span>
    </>
  );
}
