import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { serving, type History, type Recommendations } from "../api";
import { time, words } from "../format";
import { Lookup, Panel, Problem, Table } from "../panel";

export function UserLookup() {
  const [user, setUser] = useState("");
  const [anonymous, setAnonymous] = useState(false);
  const id = encodeURIComponent(user);
  const history = useQuery({
    queryKey: ["history", user, anonymous],
    queryFn: () => serving<History>(`users/${id}/history?k=20${anonymous ? "&anonymous=true" : ""}`),
    enabled: user !== "",
    refetchInterval: 500,
  });
  const name = anonymous ? "anonymous_id" : "user_id";
  const recommended = useQuery({
    queryKey: ["recommendations", user, anonymous],
    queryFn: () => serving<Recommendations>(`recommendations?${name}=${id}&k=10&explain=true`),
    enabled: user !== "",
    refetchInterval: 500,
  });
  return (
    <Panel title="A shopper" wide>
      <Lookup label="Id of the shopper" initial={user} find={setUser}>
        <label className="check">
          <input type="checkbox" checked={anonymous} onChange={(event) => setAnonymous(event.target.checked)} />
          It is an anonymous id
        </label>
      </Lookup>
      <Problem error={history.error ?? recommended.error} />
      {user !== "" && (
        <div className="columns">
          <div>
            <h3>History, the newest first</h3>
            {history.data?.items.length === 0 && <p className="note">Nothing is known of this shopper.</p>}
            {history.data && history.data.items.length > 0 && (
              <Table label="History" head={["Product", "What", "When"]}>
                {history.data.items.map((item, at) => (
                  <tr key={`${item.timestamp}-${at}`}>
                    <th scope="row">{item.product_id}</th>
                    <td>{words(item.event_type)}</td>
                    <td>{time(item.timestamp)}</td>
                  </tr>
                ))}
              </Table>
            )}
          </div>
          <div>
            <h3>Recommended now, and why</h3>
            {recommended.data && (
              <>
                <p className="note">
                  {words(recommended.data.strategy)}
                  {recommended.data.freshness.degraded && `; degraded: ${recommended.data.freshness.reason}`}
                </p>
                <ol className="reasons">
                  {recommended.data.items.map((item) => (
                    <li key={item.product_id}>
                      <span className="name">{item.product_id}</span>
                      <span className="note">{item.reason?.text ?? words(item.source)}</span>
                    </li>
                  ))}
                </ol>
              </>
            )}
          </div>
        </div>
      )}
    </Panel>
  );
}
