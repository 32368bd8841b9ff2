import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { processor, serving, type Product, type Similar } from "../api";
import { count, words } from "../format";
import { Lookup, Panel, Problem, Table } from "../panel";

export function ProductLookup() {
  const [product, setProduct] = useState("");
  const id = encodeURIComponent(product);
  const state = useQuery({
    queryKey: ["product", product],
    queryFn: () => processor<Product>(`admin/products/${id}`),
    enabled: product !== "",
    refetchInterval: 500,
  });
  const similar = useQuery({
    queryKey: ["similar", product],
    queryFn: () => serving<Similar>(`products/${id}/similar?k=20`),
    enabled: product !== "",
    refetchInterval: 500,
  });
  return (
    <Panel title="A product" wide>
      <Lookup label="Id of the product" initial={product} find={setProduct} />
      <Problem error={state.error ?? similar.error} />
      {product !== "" && (
        <div className="columns">
          {state.data && (
            <div>
              <h3>Windows</h3>
              <p className="note">
                {state.data.category ? `Category ${state.data.category}` : "No category"}
                {state.data.active === false && "; inactive"}
                {". "}
                {Object.entries(state.data.totals)
                  .map(([kind, total]) => `${count(total)} ${words(kind)}`)
                  .join(", ")}{" "}
                in all.
              </p>
              <Table label="Windows" head={["Window", "Score", "Events"]} numeric={[1, 2]}>
                {state.data.windows.map((window) => (
                  <tr key={window.window}>
                    <th scope="row">{window.window}</th>
                    <td className="number">{count(window.score)}</td>
                    <td className="number">{count(window.count)}</td>
                  </tr>
                ))}
              </Table>
              <p className="note">As last written to the state store.</p>
            </div>
          )}
          {similar.data && (
            <div>
              <h3>Neighbours</h3>
              {similar.data.items.length === 0 ? (
                <p className="note">Nothing is known to go with it.</p>
              ) : (
                <Table label="Neighbours" head={["Product", "Score", "Seen together"]} numeric={[1, 2]}>
                  {similar.data.items.map((item) => (
                    <tr key={item.product_id}>
                      <th scope="row">{item.product_id}</th>
                      <td className="number">{item.score.toFixed(3)}</td>
                      <td className="number">{item.count === 0 ? "by way of others" : count(item.count)}</td>
                    </tr>
                  ))}
                </Table>
              )}
            </div>
          )}
        </div>
      )}
    </Panel>
  );
}
