import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useId, useState, type FormEvent } from "react";
import { configure, key as stored } from "./api";
import { useLive, type Live } from "./live";
import { Charts } from "./panels/charts";
import { DeadLetters } from "./panels/dead-letters";
import { Flow } from "./panels/flow";
import { Outcomes } from "./panels/outcomes";
import { Partitions } from "./panels/partitions";
import { ProductLookup } from "./panels/product";
import { Trending } from "./panels/trending";
import { UserLookup } from "./panels/user";
import { useTheme } from "./theme";

export function App() {
  const [key, setKey] = useState(stored.get());
  const [theme, toggleTheme] = useTheme();
  const config = useQuery({ queryKey: ["config"], queryFn: configure, staleTime: Infinity });
  const queries = useQueryClient();
  const live = useLive(key);

  const useKey = (given: string): void => {
    stored.set(given);
    setKey(given);
    void queries.invalidateQueries();
  };

  return (
    <>
      <a className="skip" href="#main">
        Skip to the figures
      </a>
      <header>
        <h1>ShopSmart operations</h1>
        <Connection live={live} />
        <button type="button" className="quiet" onClick={toggleTheme}>
          {theme === "dark" ? "Light" : "Dark"} theme
        </button>
      </header>
      <main id="main" tabIndex={-1}>
        {(config.data?.keys_required || live.state === "refused") && (
          <KeyForm given={key !== ""} problem={live.state === "refused" ? live.problem : ""} use={useKey} />
        )}
        {live.status && (
          <>
            <Flow status={live.status} />
            <Charts history={live.history} theme={theme} />
            <Outcomes outcomes={live.status.outcomes} />
          </>
        )}
        {config.data && <Trending />}
        {live.status && <Partitions status={live.status} />}
        {config.data && (
          <>
            <UserLookup />
            <ProductLookup />
            <DeadLetters />
          </>
        )}
      </main>
    </>
  );
}

const STATES: Record<Live["state"], string> = {
  connecting: "Connecting",
  live: "Live",
  lost: "No connection",
  refused: "Key needed",
};

function Connection({ live }: { live: Live }) {
  return (
    <p className={`connection ${live.state}`} role="status">
      {STATES[live.state]}
      {live.state === "lost" && <span className="detail">: {live.problem}; trying again</span>}
      {live.state === "live" && live.status && <span className="detail">, from {live.status.copy}</span>}
    </p>
  );
}

function KeyForm(props: { given: boolean; problem: string; use: (key: string) => void }) {
  const [text, setText] = useState("");
  const id = useId();
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    props.use(text.trim());
    setText("");
  };
  return (
    <section aria-labelledby={`${id}-title`} className="wide">
      <h2 id={`${id}-title`}>API key</h2>
      <form onSubmit={submit} className="lookup">
        <label htmlFor={id}>Key with the scope read, or admin to redrive dead letters</label>
        <div className="field">
          <input
            id={id}
            type="password"
            autoComplete="off"
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
          <button type="submit">Use this key</button>
          {props.given && (
            <button type="button" className="quiet" onClick={() => props.use("")}>
              Forget it
            </button>
          )}
        </div>
        <p className="note">
          {props.problem !== "" ? props.problem : "It is kept for this tab only, and sent to the processor and to serving."}
        </p>
      </form>
    </section>
  );
}
