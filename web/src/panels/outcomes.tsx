import type { Outcomes as Counts } from "../api";
import { count } from "../format";
import { Panel } from "../panel";

const NAMES: [keyof Counts, string, string][] = [
  ["applied", "Applied", "counted"],
  ["duplicate", "Duplicate", "the same event again; changed nothing"],
  ["too_late", "Too late", "over 30 days behind its partition"],
  ["dead_lettered", "Dead letters", "could not be applied; kept below"],
  ["forgotten", "Forgotten", "users forgotten on request"],
];

export function Outcomes({ outcomes }: { outcomes: Counts }) {
  const most = Math.max(1, ...Object.values(outcomes));
  return (
    <Panel title="What became of the events">
      <dl className="bars">
        {NAMES.map(([name, title, what]) => (
          <div key={name} className={name === "dead_lettered" && outcomes[name] > 0 ? "bad" : undefined}>
            <dt>
              {title} <span className="note">{what}</span>
            </dt>
            <dd>
              <span className="bar" style={{ inlineSize: `${(100 * outcomes[name]) / most}%` }} />
              {count(outcomes[name])}
            </dd>
          </div>
        ))}
      </dl>
      <p className="note">Counted by this copy's partitions, once for each event, since the generation began.</p>
    </Panel>
  );
}
