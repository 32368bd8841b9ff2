import type { Partition, Status } from "../api";
import { ago, count, duration } from "../format";
import { Panel, Table } from "../panel";

export function Partitions({ status }: { status: Status }) {
  const head = ["Stage", "Partition", "Owner", "State", "Waiting", "Behind", "Last progress", "Not stored", "Restarts"];
  return (
    <Panel title="Partitions" wide>
      <Table label="Partitions" head={head} numeric={[1, 4, 5, 6, 7, 8]}>
        {status.partitions.map((p) => (
          <tr key={`${p.stage}-${p.partition}`} className={p.stalled ? "bad" : undefined}>
            <th scope="row">{p.stage}</th>
            <td className="number">{p.partition}</td>
            <td>{p.owner}</td>
            <td>{state(p)}</td>
            <td className="number">{count(p.lag_records)}</td>
            <td className="number">{duration(p.lag_ms)}</td>
            <td className="number">{p.last_progress_ms === null ? "–" : ago(status.at_ms - p.last_progress_ms)}</td>
            <td className="number">{count(p.processed - p.stored)}</td>
            <td className="number">{p.restarts}</td>
          </tr>
        ))}
        {status.others.map((p) => (
          <tr key={`other-${p.stage}-${p.partition}`}>
            <th scope="row">{p.stage}</th>
            <td className="number">{p.partition}</td>
            <td>another copy</td>
            <td>said so {ago(p.reported_ms_ago)}</td>
            <td className="number">{count(p.lag_records)}</td>
            <td className="number">{duration(p.lag_ms)}</td>
            <td className="number">–</td>
            <td className="number">–</td>
            <td className="number">–</td>
          </tr>
        ))}
      </Table>
    </Panel>
  );
}

function state(partition: Partition): string {
  if (partition.stalled) return "stalled";
  if (!partition.running) return "loading";
  if (partition.lag_records > 0) return "working";
  return partition.idle ? "idle" : "up to date";
}
