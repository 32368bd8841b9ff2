import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useId, useState } from "react";
import { serving, type Trending as Answer } from "../api";
import { count } from "../format";
import { Panel, Problem } from "../panel";

const WINDOWS = ["1h", "24h", "7d", "30d"];

export function Trending() {
  const [window, setWindow] = useState("1h");
  const id = useId();
  const answer = useQuery({
    queryKey: ["trending", window],
    queryFn: () => serving<Answer>(`trending?window=${window}&k=10`),
    refetchInterval: 250,
    placeholderData: keepPreviousData,
  });
  const items = answer.data?.items ?? [];
  const most = Math.max(1, ...items.map((item) => item.score));
  const choice = (
    <span className="choice">
      <label htmlFor={id}>Window</label>
      <select id={id} value={window} onChange={(event) => setWindow(event.target.value)}>
        {WINDOWS.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </span>
  );
  return (
    <Panel title="Trending now" aside={choice}>
      <Problem error={answer.error} />
      {answer.data?.freshness.degraded && <p className="note">Degraded: {answer.data.freshness.reason}</p>}
      {answer.data && items.length === 0 && <p className="note">Nothing in this window yet.</p>}
      <ol className="ranking">
        {items.map((item) => (
          <li key={item.product_id}>
            <span className="bar" style={{ inlineSize: `${(100 * item.score) / most}%` }} />
            <span className="name">{item.product_id}</span>
            <span className="note">
              {count(item.score)} from {count(item.count)} events
            </span>
          </li>
        ))}
      </ol>
    </Panel>
  );
}
