import type { Stage, Status } from "../api";
import { count, duration, rate } from "../format";
import { Panel } from "../panel";

/** Beyond this a stage shows as behind. */
const BEHIND_MS = 5_000;

/** The pipeline as an event passes it. */
export function Flow({ status }: { status: Status }) {
  const stage = (name: Stage["stage"]) => status.stages.find((stage) => stage.stage === name);
  const [shopper, product] = [stage("shopper"), stage("product")];
  return (
    <Panel title="Pipeline" wide aside={<span className="note">Generation {status.generation}</span>}>
      <ol className="flow">
        <li className="place">
          <strong>events</strong>
          <span>log, by shopper</span>
          <dl>
            <Figure name="Arriving" value={`${rate(shopper?.arriving_per_second ?? 0)}/s`} />
          </dl>
        </li>
        {shopper && <StageBox title="Shopper stage" what="histories" stage={shopper} />}
        <li className="place">
          <strong>product-activity</strong>
          <span>log, by product</span>
          <dl>
            <Figure name="Arriving" value={`${rate(product?.arriving_per_second ?? 0)}/s`} />
          </dl>
        </li>
        {product && <StageBox title="Product stage" what="trends and neighbours" stage={product} />}
        <li className="place">
          <strong>serving store</strong>
          <span>answers come from here</span>
          <dl>
            <Figure name="Fresh after" value={duration(product?.freshness_ms ?? shopper?.freshness_ms)} />
          </dl>
        </li>
      </ol>
    </Panel>
  );
}

function StageBox({ title, what, stage }: { title: string; what: string; stage: Stage }) {
  const behind = stage.lag_ms > BEHIND_MS;
  return (
    <li className={behind ? "stage behind" : "stage"}>
      <strong>{title}</strong>
      <span>{behind ? "behind" : what}</span>
      <dl>
        <Figure name="Rate" value={`${rate(stage.records_per_second)}/s`} />
        <Figure name="Waiting" value={count(stage.lag_records)} />
        <Figure name="Lag" value={duration(stage.lag_ms)} />
        <Figure name="Visible after" value={duration(stage.freshness_ms)} />
        {stage.lag_records > 0 && behind && (
          <Figure name="Caught up in" value={stage.catch_up_ms === null ? "not catching up" : duration(stage.catch_up_ms)} />
        )}
      </dl>
    </li>
  );
}

function Figure({ name, value }: { name: string; value: string }) {
  return (
    <div className="figure">
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
